"""What restore.yml hands over to the host's program, run here with a program of the tests' own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.cases import Cases
from tests.support.local_hosts import HERE, write_program

pytestmark = pytest.mark.extended

KEY = "# mine\nAGE-SECRET-KEY-1TEST\n"
# Who restores at once: none ends before all of them have what they were handed.
ASKED: dict[str, dict[str, Any]] = {
    "first": {"restore_from": "BACKUPS", "restore_identity_file": "KEY"},
    "second": {"restore_from": "BACKUPS", "restore_identity_file": "KEY"},
    "drill": {"restore_to": "drill", "restore_identity_file": "KEY"},
    "lost": {
        "confirm": "replace live data of lost",
        "restore_from": "offsite",
        "restore_secrets": True,
        "restore_to": "live",
        "restore_until": "latest",
    },
}
PROGRAM = """#!/bin/sh
set -eu
case "$*" in
  *" estimate") echo "a restore to live stops the service for about 21 s"; exit ;;
esac
cd "$(dirname "$0")"
name=$(printf '%s' "$1" | sed 's/--by=//')
printf '%s' "$*" >"$name.arguments"
cat >"$name.input"
store=$(printf '%s' "$*" | sed -n 's/.*--store=\\([^ ]*\\).*/\\1/p')
touch "$name.done"
tries=0
while [ "$(ls ./*.done | wc -l)" -lt 4 ] && [ "$tries" -lt 600 ]; do
  tries=$((tries + 1))
  sleep 0.1
done
[ ! -d "$store" ] || ls "$store" >"$name.files"
echo '{"backup": "1", "seconds": 1.5}'
"""


@pytest.fixture(scope="module")
def handed(cases: Cases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What the program was given for each of them."""
    folder = tmp_path_factory.mktemp("host")
    handed_over, backups, key = (folder / name for name in ("handed", "backups", "key.txt"))
    handed_over.mkdir()
    backups.mkdir()
    (backups / "last-backup.json").touch()
    key.write_text(KEY)
    program = write_program(folder / "order-service", PROGRAM)
    places = {"BACKUPS": str(backups), "KEY": str(key)}
    here = HERE | {"order_service_program": [str(program)]}
    hosts = {
        host: here
        | {"order_service_deployer": host}
        | {name: places.get(str(value), value) for name, value in settings.items()}
        for host, settings in ASKED.items()
    }
    forks, extra = f"--forks={len(hosts)}", json.dumps({"restore_handed_over": str(handed_over)})
    run = cases.try_playbook("restore.yml", forks, "-e", extra, **hosts).succeeded()
    assert "a restore to live stops the service for about 21 s" in run.output
    assert "AGE-SECRET-KEY" not in run.output
    # Nothing stays behind.
    assert list(handed_over.iterdir()) == []
    return {
        host: {path.suffix[1:]: path.read_text() for path in folder.glob(f"{host}.*")}
        for host in hosts
    }


def test_restores_at_once_have_a_folder_each_and_the_key_on_no_disk(
    handed: dict[str, dict[str, str]],
) -> None:
    first, second = handed["first"], handed["second"]
    for one in (first, second):
        assert one["files"] == "last-backup.json\n"
        assert one["input"] == KEY
        assert one["arguments"].endswith(" --discard --identity=-")
    stores = {one["arguments"].partition("--store=")[2].split()[0] for one in (first, second)}
    assert len(stores) == 2


def test_what_is_asked_for_is_passed_on(handed: dict[str, dict[str, str]]) -> None:
    assert handed["drill"]["arguments"].endswith(" restore drill --identity=-")
    assert handed["drill"]["input"] == KEY
    live = " restore live --until=latest --store=offsite --secrets"
    assert handed["lost"]["arguments"].endswith(live)
    assert handed["lost"]["input"] == ""

"""What deploy.yml and rollback.yml do with several hosts, with a program and a Docker of the tests.

The hosts are this machine. Each has a folder, and a Python that tells those two which host it is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cases import NO_PORT, NOWHERE, Cases
from tests.support.control_node import PlaybookRun
from tests.support.local_hosts import HERE, in_parts, write_program

# In the order of the inventory, which is not the one of a release.
GROUPS = {
    "web": ["web-1", "web-2", "web-3"],
    "worker": ["head"],
    "database": ["head"],
    "balancer": ["balancer"],
}
ADDRESSES = {
    "web-1": "10.0.0.1",
    "web-2": "10.0.0.2",
    "web-3": "10.0.0.3",
    "head": "10.0.0.4",
    "balancer": "10.0.0.5",
    "alone": "10.0.0.6",
}
RELEASE, FORMER = "0123456789ab", "ba9876543210"
BROKEN = "web-2"
ALL = "order_service"
SETTINGS = {
    "public_names": ["orders.example.com"],
    "worker_threads": "4",
    "release_ipv6_addresses": "/dev/null",
}
# Instead of what the host has: nobody answers.
LOST = {
    "ansible_connection": "ssh",
    "ansible_host": NOWHERE,
    "ansible_port": NO_PORT,
    "ansible_ssh_extra_args": "-F /dev/null -o BatchMode=yes",
    "ansible_ssh_retries": 0,
}
PROGRAM = """#!/usr/bin/python3
import json, os, sys
from pathlib import Path
root, arguments = Path("@ROOT@"), sys.argv[1:]
command = [one for one in arguments if not one.startswith("--by") and not one.startswith("--wait")]
with (root.parent / "calls").open("a") as calls:
    calls.write(f"{root.name} {' '.join(command)}\\n")
ledger = root / "state/ledger.json"
def serve(release):
    ledger.write_text(json.dumps({"active": release}))
    print(f"CHANGED: {release} serves, in blue")
if command[0] == "install":
    print("UNCHANGED")
if command[0] == "deploy":
    (root / "told.json").write_text(sys.stdin.read())
    if root.name == "@BROKEN@":
        sys.exit("FAILED: it did not get ready")
    serve(command[1])
if command[0] == "rollback":
    serve("@FORMER@")
if command[0] == "credentials":
    print(json.dumps({"service": {"for": command[-1]}}))
"""
DOCKER = """#!/bin/sh
set -eu
image="@FOLDER@/$TEST_HOST/image"
case "$1 $2" in
  "image inspect") cat "$image" 2>/dev/null || exit 1 ;;
  "image ls" | "network inspect") ;;
  "volume inspect") echo "@FOLDER@/$TEST_HOST/volume" ;;
  save*)
    cd "@FOLDER@/$TEST_HOST"
    echo '[{"RepoTags": ["order-service:@RELEASE@"]}]' >manifest.json
    tar -cf "${2#--output=}" manifest.json image
    chmod 600 "${2#--output=}"
    ;;
  "load --quiet") tar -xf "$4" -C "@FOLDER@/$TEST_HOST" image ;;
esac
"""
PYTHON = """#!/bin/sh
TEST_HOST=@HOST@
export TEST_HOST
exec /usr/bin/python3 "$@"
"""


def write_filled(path: Path, text: str, **words: object) -> None:
    for word, value in words.items():
        text = text.replace(f"@{word.upper()}@", str(value))
    write_program(path, text)


def new_host(folder: Path, name: str) -> dict[str, Any]:
    """Make the host's folder, and return what the inventory says of it."""
    root = folder / name
    shipped = root / "releases" / RELEASE
    for made in (shipped, root / "state", root / "volume"):
        made.mkdir(parents=True)
    (shipped / ".shipped").touch()
    for program in (shipped / "deploy/host/__main__.py", root / "order-service"):
        write_filled(program, PROGRAM, root=root, broken=BROKEN, former=FORMER)
    write_filled(root / "python", PYTHON, host=name)
    (root / "state/ledger.json").write_text(json.dumps({"active": FORMER}))
    return HERE | {
        "ansible_python_interpreter": str(root / "python"),
        "private_address": ADDRESSES[name],
        "order_service_root": str(root),
        # Those of the group would be less than group_vars/all.yml is.
        "order_service_release": RELEASE,
        "order_service_deployer": "me@here",
        "image_shipped": {"stat": {"exists": True}},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hosts")


@pytest.fixture(scope="module")
def hosts(folder: Path) -> dict[str, dict[str, Any]]:
    """Hosts with a release before; the head alone has the image of the next one."""
    made = {name: new_host(folder, name) for name in ADDRESSES}
    (folder / "head" / "image").write_text("sha256:1\n")
    (folder / "web-1" / "image").write_text("sha256:of another build\n")
    write_filled(folder / "docker", DOCKER, folder=folder, release=RELEASE)
    return made


def run_play(
    cases: Cases, folder: Path, hosts: dict[str, Any], role: str, *arguments: str
) -> PlaybookRun:
    """Run the play of deploy.yml whose first role is that."""
    plays = yaml.safe_load((cases.ansible_folder / "deploy.yml").read_text())
    (play,) = (one for one in plays if f"'name': '{role}'" in str(one) and one["hosts"] != ALL)
    # One host after the other, which is taken out there for tests of many cases.
    play["serial"] = 1 if role == "release" else 0
    (cases.ansible_folder / "one.yml").write_text(yaml.safe_dump([play]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=os.pathsep)
        patch.setattr(cases, "inventory", lambda _: in_parts(GROUPS, hosts, SETTINGS))
        return cases.try_playbook("one.yml", "--tags=release", *arguments)


@pytest.fixture(scope="module")
def deployed(cases: Cases, folder: Path, hosts: dict[str, Any]) -> PlaybookRun:
    """A release that web-2 does not take."""
    return run_play(cases, folder, hosts, "release")


def calls(folder: Path, command: str) -> list[tuple[str, str]]:
    lines = [line.split(" ", 1) for line in (folder / "calls").read_text().splitlines()]
    return [(host, what) for host, what in lines if what.startswith(command)]


def told(folder: Path, host: str) -> dict[str, Any]:
    heard: dict[str, Any] = json.loads((folder / host / "told.json").read_text())
    return heard


def test_the_head_comes_first_and_nobody_after_who_has_failed(
    deployed: PlaybookRun, folder: Path
) -> None:
    assert deployed.returncode != 0
    assert [host for host, _ in calls(folder, "deploy")] == ["head", "web-1", "web-2"]
    assert deployed.recaps["web-2"].failed == 1
    assert "balancer" not in deployed.recaps


def test_those_that_were_switched_go_back_the_last_one_first(
    deployed: PlaybookRun, folder: Path
) -> None:
    assert calls(folder, "rollback") == [
        ("web-1", f"rollback --from {RELEASE}"),
        ("head", f"rollback --from {RELEASE}"),
    ]
    told_at_the_end = deployed.output.rpartition("TASK [")[2]
    for expected in (
        "web-2 has failed",
        "FAILED: it did not get ready",
        *(f"{host}: {FORMER} serves" for host in ("head", "web-1", "web-2", "web-3")),
    ):
        assert expected in told_at_the_end


@pytest.mark.extended
def test_they_go_back_where_a_host_was_lost_on_the_way(
    cases: Cases, folder: Path, hosts: dict[str, dict[str, Any]]
) -> None:
    (folder / "calls").unlink(missing_ok=True)
    run = run_play(cases, folder, hosts | {"web-2": hosts["web-2"] | LOST}, "release")
    assert run.returncode != 0
    assert [host for host, _ in calls(folder, "deploy")] == ["head", "web-1"]
    assert [host for host, _ in calls(folder, "rollback")] == ["web-1", "head"]
    assert "web-2 cannot be reached any more" in run.output
    assert "web-2: cannot be reached" in run.output.rpartition("TASK [")[2]


@pytest.mark.extended
def test_a_host_without_its_head_has_failed(
    cases: Cases, folder: Path, hosts: dict[str, dict[str, Any]]
) -> None:
    """It is not taken for one that cannot be reached itself, for which nobody would go back."""
    without = hosts | {"head": hosts["head"] | LOST}
    run = run_play(cases, folder, without, "release", "--limit=web-1,web-3")
    assert (run.recaps["web-1"].unreachable, run.recaps["web-1"].failed) == (0, 1)
    assert "head hands no secrets on: " in run.output
    assert f"web-1: {FORMER} serves" in run.output.rpartition("TASK [")[2]


@pytest.mark.extended
def test_each_host_that_runs_something_gets_the_image_of_the_head(
    cases: Cases, folder: Path, hosts: dict[str, Any]
) -> None:
    run = run_play(cases, folder, hosts, "image").succeeded()
    assert "balancer" not in run.recaps
    having = {path.parent.name: path.read_text() for path in folder.glob("*/image")}
    assert having == dict.fromkeys(["head", *GROUPS["web"]], "sha256:1\n")


def test_the_others_are_told_what_the_head_hands_on(deployed: PlaybookRun, folder: Path) -> None:
    assert told(folder, "head")["handed"] == {}
    assert told(folder, "web-1")["handed"] == {"service": {"for": "web"}}
    assert {host for host, _ in calls(folder, "credentials")} == {"head"}
    # In memory only.
    assert '"for"' not in deployed.output


def test_each_host_is_told_what_it_is_there_for(deployed: PlaybookRun, folder: Path) -> None:
    assert deployed.recaps
    head, web = (set(told(folder, host)["settings"].splitlines()) for host in ("head", "web-1"))
    assert head >= {
        "DATABASE_SERVERS=10.0.0.4:3306", "PARTS=worker,database", "PRIVATE_ADDRESS=10.0.0.4",
        "COMPOSE_PROFILES=worker", "WORKER_THREADS='4'",
    }  # fmt: skip
    assert web >= {
        "DATABASE_SERVERS=10.0.0.4:3306", "PARTS=web", "PRIVATE_ADDRESS=10.0.0.1", "HEAD=head",
        "PROCESSOR_THREADS=0", "TRUSTED_PROXIES='10.0.0.5'", "PROXY_PROTOCOL=on",
        "BALANCERS=10.0.0.5",
    }  # fmt: skip
    assert "COMPOSE_PROFILES=worker" not in web
    of_others = ("HEAD=", "PROCESSOR_THREADS=", "BALANCERS=")
    assert not [line for line in head if line.startswith(of_others)]


def test_groups_of_the_same_names_may_be_somebody_elses(
    cases: Cases, hosts: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that is alone is told the same beside them."""
    alone = {"alone": hosts["alone"]}
    others: dict[str, Any] = {part: {"hosts": {f"their-{part}": {}}} for part in GROUPS}
    monkeypatch.setattr(cases, "inventory", lambda _: {ALL: {"hosts": alone}} | others)
    task = {
        "ansible.builtin.debug": {"msg": "{{ lookup('template', 'dotenv.j2') }}"},
        "vars": {"release_ipv6": False},
    }
    role = cases.ansible_folder / "roles/release/tasks/shown.yml"
    role.write_text(yaml.safe_dump([task]))
    play = {"hosts": ALL, "gather_facts": False, "tasks": [
        {"ansible.builtin.include_role": {"name": "release", "tasks_from": "shown"}}
    ]}  # fmt: skip
    (cases.ansible_folder / "shown.yml").write_text(yaml.safe_dump([play]))
    shown = cases.try_playbook("shown.yml").succeeded().output
    assert "COMPOSE_PROJECT_NAME=order-service" in shown
    of_groups = ("PARTS", "HEAD", "PROCESSOR_THREADS", "TRUSTED_PROXIES", "BALANCERS")
    for name in (*of_groups, "PROXY_PROTOCOL"):
        assert f"{name}=" not in shown

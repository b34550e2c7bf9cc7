"""The settings: one list for the manual, the checks, the roles and the service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from order_service.backup.settings import Settings as BackupSettings
from order_service.release.limits import Limits

from service.config import ConfigError, Settings
from tests.support.service_process import REPOSITORY

ANSIBLE = REPOSITORY / "deploy" / "ansible"
CONTROL = ANSIBLE / "roles" / "control"
MANUAL = (ANSIBLE / "inventory.example.yml").read_text()
SPECS = yaml.safe_load((CONTROL / "meta/argument_specs.yml").read_text())["argument_specs"]
OPTIONS: dict[str, Any] = SPECS["main"]["options"]
LIMITS = yaml.safe_load((CONTROL / "vars/main.yml").read_text())
DELAYS = LIMITS["control_patterns"]["processor_retry_delays"]["matches"]
# A setting as a role takes it: its name and its default.
TAKEN = re.compile(r"(?:\{\{ |\()(\w+) \| default\(('[^']*'|[^(),]*)\)")
# One as Compose takes it.
INTERPOLATED = re.compile(r"\$\{(\w+):-([^}]*)\}")
AS_CALLED = {"AUTH_USERNAME": "api_username", "backup_ssh_port": "backup_destination_port"}
SETTING = re.compile(r"    (?:# )?([a-z][a-z0-9_]*):(?: (.*))?")


def defaults_of_the_manual() -> dict[str, Any]:
    """Return what the manual calls a default: what it does not call an example."""
    found, comment = {}, ""
    for line in MANUAL.partition("  vars:\n")[2].splitlines():
        if not (setting := SETTING.fullmatch(line)):
            comment = f"{comment} {line}" if line.startswith("    #") else ""
            continue
        if "Example" not in comment:
            found[setting[1]] = yaml.safe_load(setting[2])
        comment = comment if "Examples" in comment else ""
    return found


def test_the_manual_has_every_setting_and_no_other() -> None:
    lines = MANUAL.partition("  vars:\n")[2].splitlines()
    assert sorted(found[1] for line in lines if (found := SETTING.fullmatch(line))) == sorted(
        OPTIONS
    )


def test_the_manual_names_one_host_and_sets_nothing() -> None:
    example = yaml.safe_load(MANUAL)["order_service"]
    assert [*example["hosts"]] == ["orders-1"]
    assert example["vars"] == {"public_names": []}


def defaults_in_use() -> dict[str, Any]:
    """Return what is taken for a setting that is not set; empty leaves it to the service."""
    files = [*ANSIBLE.glob("roles/*/defaults/main.yml"), *ANSIBLE.glob("group_vars/*.yml")]
    texts = [path.read_text() for path in files]
    taken = {name: yaml.safe_load(value) for text in texts for name, value in TAKEN.findall(text)}
    own = {name: value for text in texts for name, value in yaml.safe_load(text).items()}
    stack = INTERPOLATED.findall((REPOSITORY / "docker-compose.yml").read_text())
    composed = {AS_CALLED.get(name, name.lower()): yaml.safe_load(value) for name, value in stack}
    backup = {f"backup_{name}": it for name, it in vars(BackupSettings(Path())).items()}
    backup = {AS_CALLED.get(name, name): value for name, value in backup.items()}
    return composed | backup | vars(Limits()) | taken | own


def test_a_default_of_the_manual_is_the_one_in_use() -> None:
    used, service = defaults_in_use(), Settings()
    shown = defaults_of_the_manual()
    assert len(shown) > 40
    for name, default in shown.items():
        if used[name] in ("", None) and hasattr(service, name):
            as_shown = Settings.from_environment({name.upper(): str(default)})
            assert getattr(as_shown, name) == getattr(service, name), name
        else:
            assert used[name] in (default, str(default)), name


def test_no_container_is_limited_to_some_processors_unless_that_is_set() -> None:
    """Docker refuses more than the host has, so any number would leave out some hosts."""
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    limits = [one["cpus"] for one in services.values() if "cpus" in one]
    assert len(limits) == 3
    assert all(limit.endswith("_CPUS:-0}") for limit in limits)


def test_each_setting_is_used_by_a_role() -> None:
    """By one of those that change something, or with a default of its own."""
    used = {
        word
        for path in [*ANSIBLE.glob("roles/*/*/*"), *ANSIBLE.glob("group_vars/*.yml")]
        if path.is_file() and path.parent.name != "meta"
        if "control" not in path.parts or path.parent.name == "defaults"
        for word in re.findall(r"\w+", path.read_text())
    }
    # The two that only the checks read.
    assert set(OPTIONS) - used == {"independent_hosts", "stage"}


def test_each_number_has_limits_and_the_service_has_the_same() -> None:
    ranges, patterns = LIMITS["control_ranges"], LIMITS["control_patterns"]
    numbers = {name for name, spec in OPTIONS.items() if spec["type"] in ("int", "float")}
    assert numbers == set(ranges) | set(patterns) & numbers
    of_the_service = [name for name in ranges if hasattr(Settings(), name)]
    assert len(of_the_service) > 5
    for name, (least, most) in ((name, ranges[name]) for name in of_the_service):
        for allowed in (least, most):
            Settings.from_environment({name.upper(): str(allowed)})
        for refused in (least - 1, most + 1):
            with pytest.raises(ConfigError, match="not allowed"):
                Settings.from_environment({name.upper(): str(refused)})


def test_a_worker_may_have_as_many_threads_as_the_service_takes() -> None:
    """A text, since empty runs none."""
    allowed = LIMITS["control_patterns"]["worker_threads"]["matches"]
    least, most = LIMITS["control_ranges"]["processor_threads"]
    let_in = [number for number in range(2 * most) if re.fullmatch(allowed, str(number))]
    assert let_in == [*range(least + 1, most + 1)]


def test_each_option_of_a_playbook_is_known_to_the_search_for_misspelled_names() -> None:
    restore = yaml.safe_load((ANSIBLE / "roles/restore/meta/argument_specs.yml").read_text())
    known = {*OPTIONS, *LIMITS["control_playbook_options"]}
    known |= restore["argument_specs"]["main"]["options"].keys()
    texts = [path.read_text() for path in ANSIBLE.glob("*.yml") if path.name != "inventory.yml"]
    named = {name for text in texts for name in re.findall(r"-e '?(\w+)=", text)}
    assert len(named) > 20
    assert named - known == set()


@pytest.mark.parametrize(
    "delays", ["none", "0s", "1s, 2m", "999999999ms", "1999999s", "39999m", "699h", "29d"]
)
def test_delays_that_the_checks_let_in_suit_the_service(delays: str) -> None:
    assert re.fullmatch(DELAYS, delays)
    Settings.from_environment({"PROCESSOR_RETRY_DELAYS": delays})


@pytest.mark.parametrize("delays", ["", "5", "1s,", ",1s", "1s;2s", "1s,five", "721h", "31d"])
def test_delays_that_the_service_refuses_are_not_let_in(delays: str) -> None:
    assert not re.fullmatch(DELAYS, delays)
    if delays:
        with pytest.raises(ConfigError, match="not allowed"):
            Settings.from_environment({"PROCESSOR_RETRY_DELAYS": delays})

"""What all playbooks and roles have in common, read from their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.service_process import REPOSITORY

ANSIBLE = REPOSITORY / "deploy" / "ansible"
ROLES = sorted((ANSIBLE / "roles").iterdir())
PLAYBOOKS = sorted(path for path in ANSIBLE.glob("*.yml") if "inventory" not in path.name)
# What asks a cloud, and no host.
CLOUD = {"provision.yml": "main", "deprovision.yml": "remove"}
OF_HOSTS = [path for path in PLAYBOOKS if path.name not in CLOUD]
PARTS = ("block", "rescue", "always")

Task = dict[str, Any]


def plays(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load(path.read_text()))


def flat(tasks: list[Task]) -> Iterator[Task]:
    """Yield tasks and blocks, outer ones first."""
    for task in tasks:
        yield task
        for part in PARTS:
            yield from flat(task.get(part, []))


def all_tasks() -> Iterator[Task]:
    for play in (play for path in PLAYBOOKS for play in plays(path)):
        yield from flat(play["tasks"])
    for path in sorted(ANSIBLE.glob("roles/*/tasks/*.yml")):
        yield from flat(yaml.safe_load(path.read_text()))


def role(task: Task) -> tuple[str, str] | None:
    """Return the role and the entry point that a task runs, if it does."""
    for how in ("import_role", "include_role"):
        if what := task.get(f"ansible.builtin.{how}"):
            return what["name"], what.get("tasks_from", "main")
    return None


def tasks_of(name: str, file: str) -> Iterator[Task]:
    """Yield the tasks of a role's file, and of those that it includes."""
    for task in flat(yaml.safe_load((ANSIBLE / f"roles/{name}/tasks/{file}").read_text())):
        yield task
        if included := task.get("ansible.builtin.include_tasks"):
            yield from tasks_of(name, included)


@pytest.mark.parametrize("path", OF_HOSTS, ids=lambda path: path.name)
def test_each_playbook_checks_the_settings_before_anything_else(path: Path) -> None:
    first, *others = plays(path)
    assert first["hosts"] == "order_service"
    # Where other plays follow, a refusal of one host is one for all.
    assert not others or first.get("serial") == 1 or first.get("max_fail_percentage") == 0
    for play in (first, *others):
        assert play["gather_facts"] is False
        assert not {"pre_tasks", "roles"} & {*play}
    entry = "main" if path.name == "deploy.yml" else "local"
    assert role(first["tasks"][0]) == ("control", entry)
    assert "when" not in first["tasks"][0]


@pytest.mark.parametrize("name", CLOUD)
def test_what_asks_the_cloud_does_nothing_before_the_role_has_checked(name: str) -> None:
    (only,) = plays(ANSIBLE / name)
    assert (only["hosts"], only["connection"]) == ("order_service_stack", "local")
    assert [role(task) for task in only["tasks"]] == [
        ("control", "versions"), ("aws", CLOUD[name])
    ]  # fmt: skip
    first = next(tasks_of("aws", f"{CLOUD[name]}.yml"))
    assert first["ansible.builtin.include_tasks"] == "check.yml"


def test_a_deployment_checks_all_of_it_whatever_its_tags() -> None:
    checks, *_ = plays(ANSIBLE / "deploy.yml")
    assert [(role(task), task["tags"]) for task in checks["tasks"]] == [
        (("control", "main"), ["always"]),
        (("certificates", "check"), ["certificates"]),
        (("secrets", "check"), ["release"]),
    ]


def test_each_role_is_used_and_says_what_it_takes() -> None:
    used = {found for task in all_tasks() if (found := role(task))}
    assert {name for name, _ in used} == {path.name for path in ROLES}
    for name, entry in used:
        assert (ANSIBLE / f"roles/{name}/tasks/{entry}.yml").is_file()
    for path in ROLES:
        specs = yaml.safe_load((path / "meta/argument_specs.yml").read_text())["argument_specs"]
        assert "main" in specs, path.name
        for entry in specs:
            assert (path / f"tasks/{entry}.yml").is_file()


def test_packages_are_installed_by_a_deployment_only() -> None:
    """A mirror that is away stops no restore, and no backup before a migration."""
    others = {found for task in all_tasks() if (found := role(task)) and found[1] != "main"}
    assert ("backup", "run") in others
    entries = [*others, ("restore", "main"), ("release", "main")]
    for name, entry in entries:
        run = [role(task) for task in tasks_of(name, f"{entry}.yml")]
        assert ("packages", "main") not in run, (name, entry)


def test_who_installs_packages_waits_for_others_who_do() -> None:
    installs = [one for task in all_tasks() if (one := task.get("ansible.builtin.apt"))]
    assert installs
    assert all("lock_timeout" in one for one in installs)

"""The rules of deploy/monitoring by Prometheus' own tool: each alert fires, and resolves."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import CONFIGURATION, promtool
from tests.support.service_process import REPOSITORY

TESTS = sorted((CONFIGURATION / "tests").glob("*.yml"))


def groups_of(file: Path) -> Iterator[dict[str, Any]]:
    """Give the rules of a file."""
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


ALERTS = {
    rule["alert"]: rule
    for file in sorted((CONFIGURATION / "rules").glob("*.yml"))
    for rule in groups_of(file)
    if "alert" in rule
}


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_the_rules_do_what_their_tests_say(file: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", file)


def test_each_alert_is_seen_to_be_quiet_to_fire_and_to_resolve() -> None:
    seen: dict[str, list[str]] = defaultdict(list)
    for file in TESTS:
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            states: dict[str, str] = defaultdict(str)
            for one in test["alert_rule_test"]:
                states[one["alertname"]] += "!" if one["exp_alerts"] else "."
            for name, found in states.items():
                seen[name].append(found)
    assert set(seen) == set(ALERTS)
    for name, tests in seen.items():
        assert any(states.startswith(".") for states in tests), f"{name} is never quiet at first"
        assert any("!." in states for states in tests), f"{name} never resolves"


def test_a_rule_that_is_wrong_is_found(tmp_path: Path) -> None:
    """An alert that looks for the opposite fails its test."""
    shutil.copytree(CONFIGURATION, tmp_path / "prometheus")
    rules = tmp_path / "prometheus" / "rules" / "alerts.yml"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("order_service_database_up == 0", "order_service_database_up"))
    with pytest.raises(AssertionError, match="OrderServiceDatabaseDown"):
        promtool("test", "rules", tmp_path / "prometheus" / "tests" / "service.yml")


def test_prometheus_takes_the_configuration() -> None:
    assert "is valid" in promtool(
        "check", "config", "--syntax-only", CONFIGURATION / "prometheus.yml"
    )


def test_the_manual_says_what_to_do_for_each_alert() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    listed = [line for line in readme.splitlines() if line.startswith("| `OrderService")]
    named = {name.strip("` ") for line in listed for name in line.split("|")[1].split(",")}
    assert named == set(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["annotations"]["summary"], name

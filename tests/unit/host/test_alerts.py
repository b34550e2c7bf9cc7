"""What `alert` tells: each trouble once, and its end, to a real listener."""

from __future__ import annotations

import errno
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from order_service.alerts import alert, book, rules
from order_service.host import write_json
from order_service.status import backups, machine, processing, samples

from tests.support.alerted_host import CALM, DAY, MINUTE, TOKEN, Alerts, beats
from tests.support.host_causes import CAUSES
from tests.support.host_facts import stamp
from tests.support.prometheus import CONFIGURATION
from tests.support.service_process import REPOSITORY

ALL = [*rules.RULES.values(), rules.OTHER]


@pytest.mark.parametrize("cause", CAUSES)
def test_each_trouble_is_told_once_and_its_end_once(alerts: Alerts, cause: str) -> None:
    expected = CAUSES[cause]
    rule = next(one for one in ALL if one.name == f"OrderService{expected.alert}")
    name = f"{rule.name} on orders-1"
    expected.make(alerts.on)
    first = alerts.told()
    texts = first if rule.minutes == 0 else alerts.told(rule.minutes * MINUTE)
    assert len(texts) == 1
    assert texts[0].startswith(f"PROBLEM: {name}\n{expected.part}: ")
    assert f"{rule.advice} Guide: REMOTE_SERVER_SETUP.md, {rule.guide}." in texts[0]
    assert first == [] or rule.minutes == 0
    assert alerts.told(MINUTE) == []
    alerts.on.good()
    assert alerts.told(MINUTE) == []
    (text,) = alerts.told(CALM)
    assert text.startswith(f"OVER: {name}\n{expected.part}: ")
    assert beats(alerts.run(MINUTE)) == 1


def test_while_all_is_well_only_the_heart_beats(alerts: Alerts) -> None:
    for _ in range(2):
        (call,) = alerts.run(MINUTE)
        assert call.line == f"GET /{TOKEN}/beat HTTP/1.1"
    alerts.on.disk(5)
    assert beats(alerts.run(MINUTE)) == 1  # not for long enough
    assert beats(alerts.run(15 * MINUTE)) == 0
    alerts.on.good()
    assert beats(alerts.run(MINUTE)) == 0  # not over yet
    assert [call.line.split()[0] for call in alerts.run(CALM)] == ["POST", "GET"]


def test_what_lasts_is_told_again_each_day(alerts: Alerts) -> None:
    alerts.on.destination("")
    assert len(alerts.told()) == 1
    assert alerts.told(DAY - MINUTE) == []
    assert len(alerts.told(MINUTE)) == 1
    assert alerts.told(MINUTE) == []


def test_what_comes_and_goes_is_one_trouble(alerts: Alerts) -> None:
    alerts.on.destination("")
    assert len(alerts.told()) == 1
    for _ in range(3):
        alerts.on.good()
        assert alerts.told(MINUTE) == []
        alerts.on.destination("")
        assert alerts.told(MINUTE) == []


def test_what_is_short_is_not_told(alerts: Alerts) -> None:
    alerts.on.not_ready()
    assert alerts.told() == []
    assert alerts.told(MINUTE) == []
    alerts.on.good()
    assert alerts.told(CALM) == []
    alerts.on.not_ready()
    assert alerts.told(MINUTE) == []  # it begins anew


def test_a_program_that_hangs_keeps_nobody_from_being_told(
    alerts: Alerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert, "READING_SECONDS", 0.3)
    alerts.on.destination("")

    def hang(_given: list[str]) -> str:
        time.sleep(30)
        return ""

    alerts.on.on.docker.programs["systemctl"] = hang
    begun = time.monotonic()
    assert len(alerts.told()) == 1
    assert time.monotonic() - begun < 5
    texts = alerts.told(15 * MINUTE)
    assert "HostNeedsAttention on orders-1\nhost: cannot be told" in texts[0]


def test_what_nobody_has_thought_of_hides_no_other_part(alerts: Alerts) -> None:
    """Such as an answer of the service's that is another than expected."""
    alerts.on.destination("")
    alerts.on.on.processing = {"receiver": None}
    assert len(alerts.told()) == 1
    assert "processing: cannot be told" in alerts.told(15 * MINUTE)[0]


def test_a_full_disk_is_told_and_once_too(alerts: Alerts, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, value: Any) -> None:
        if path.is_relative_to(alerts.on.on.root / "state"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_json(path, value)

    (alerts.on.on.root / "run/order-service-alert").mkdir()
    for module in (book, samples):
        monkeypatch.setattr(module, "write_json", full)
    alerts.on.destination("")
    assert len(alerts.told()) == 1
    assert alerts.told(MINUTE) == []
    monkeypatch.setattr(book, "write_json", write_json)
    assert alerts.told(MINUTE) == []
    monkeypatch.setattr(book, "write_json", full)
    alerts.on.good()
    assert len(alerts.told(CALM)) == 1
    assert alerts.told(MINUTE) == []


def test_what_other_programs_have_said_is_not_told(alerts: Alerts) -> None:
    """Such as MySQL, which names values: they are for root on the host."""
    alerts.on.job("backup", "failed", hours=1)
    (text,) = alerts.told()
    assert "no space" not in text
    assert "failed 20" in text


def test_a_failed_backup_and_its_unit_are_one_alert(alerts: Alerts) -> None:
    alerts.on.failed_units("order-service-backup.service")
    alerts.on.job("backup", "failed", hours=1)
    (text,) = alerts.told()
    assert text.startswith("PROBLEM: OrderServiceBackupFailed")


def test_the_unit_of_a_backup_that_did_not_begin_is_told(alerts: Alerts) -> None:
    alerts.on.failed_units("order-service-backup.service")
    (text,) = alerts.told()
    assert text.startswith("PROBLEM: OrderServiceUnitFailed")


def test_what_cannot_be_told_for_a_while_is_not_over(alerts: Alerts) -> None:
    alerts.on.processes(away=stamp(minutes=20))
    assert len(alerts.told()) == 1
    alerts.on.figures(database_up=0)
    for _ in range(5):
        assert alerts.told(MINUTE) == []
    alerts.on.good()
    assert [text.split()[1] for text in alerts.told(CALM)] == ["OrderServiceReceiverAway"]


def test_a_service_that_does_not_answer_is_one_alert(alerts: Alerts) -> None:
    alerts.on.on.behaviour = lambda *_: 503
    alerts.told()
    (text,) = alerts.told(20 * MINUTE)
    assert text.startswith("PROBLEM: OrderServiceNotReady")


def test_each_of_several_is_told(alerts: Alerts) -> None:
    alerts.on.app(running=False, status="Exited")
    alerts.on.remove_container("nginx")
    alerts.told()
    assert len(alerts.told(2 * MINUTE)) == 2


def test_orders_and_disks_are_watched_by_the_program_itself(alerts: Alerts) -> None:
    alerts.on.figures(completed=1000, failed=10)
    assert alerts.told() == []
    alerts.on.figures(completed=1009, failed=11)
    (text,) = alerts.told()
    assert alerts.told(2 * MINUTE) == []
    assert "orders: 1 of 10 that have ended in half an hour have failed" in text
    samples = json.loads((alerts.on.on.root / "state/samples.json").read_text())
    assert len(samples["disks"][str(alerts.on.on.root)]) == 1  # one an hour is enough
    assert [counted for _, *counted in samples["orders"]] == [[1000, 10], [1009, 11], [1009, 11]]


def test_without_an_address_for_alerts_the_heart_still_beats_and_stops(alerts: Alerts) -> None:
    alerts.configure(url="")
    assert beats(alerts.run()) == 1
    alerts.on.destination("")
    assert alerts.run(MINUTE) == []
    alerts.on.good()
    alerts.run(CALM)
    assert beats(alerts.run(MINUTE)) == 1


def test_each_rule_leads_to_a_section_of_the_guide() -> None:
    guide = (REPOSITORY / "REMOTE_SERVER_SETUP.md").read_text()
    sections = set(re.findall(r"^##+ (.*)$", guide, re.MULTILINE))
    assert {rule.guide for rule in ALL} | {"Alerts"} <= sections
    table = guide.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert {rule.name for rule in ALL} | {"OrderServiceTest"} == set(
        re.findall(r"`(OrderService\w+)`", table)
    )


def test_what_is_advised_are_playbooks_with_options_that_they_have() -> None:
    playbooks = REPOSITORY / "deploy/ansible"
    for rule in ALL:
        for name, options in re.findall(r"([a-z]+\.yml)((?: -[-\w]+ [^ ;,]+)*)", rule.advice):
            text = (playbooks / name).read_text()
            wanted = set(re.findall(r"-e (\w+)=", options))
            assert wanted <= set(re.findall(r"\w+", text)), rule.name
            # These do something to a host when they are told what, and to which one.
            assert name not in ("database.yml", "maintenance.yml") or wanted, rule.name
            assert name != "drain.yml" or "--limit" in options, rule.name


def test_alerts_that_prometheus_has_too_agree_with_it() -> None:
    groups = [
        group
        for name in ("alerts", "hosts")
        for group in yaml.safe_load((CONFIGURATION / "rules" / f"{name}.yml").read_text())["groups"]
    ]
    known = {one["alert"]: one for group in groups for one in group["rules"] if "alert" in one}
    both = {rule.name: rule for rule in ALL if rule.name in known}
    assert len(both) > 10
    severities = {"page": rules.CRITICAL, "ticket": rules.WARNING}
    for name, rule in both.items():
        assert severities[known[name]["labels"]["severity"]] == rule.severity, name
        if name not in ("OrderServiceReceiverAway", "OrderServicePaused"):
            assert known[name].get("for", "0m") in (f"{rule.minutes}m", f"{rule.minutes // 60}h")
    limits = {
        "OrderServiceQueueOld": f"> {processing.QUEUE_SECONDS}",
        "OrderServiceOrdersFail": f"> {processing.FAILED_SHARE}",
        "OrderServiceOrderFailed": f"< {processing.FEWEST_ENDED}",
        "OrderServiceBackupOld": f"> {backups.BACKUP_AGE.total_seconds() / 3600:.0f} * 3600",
        "OrderServiceDrillOld": f"> {backups.DRILL_AGE.days} * 86400",
        "OrderServiceDiskFull": f"< {machine.FREE_DISK}",
        "OrderServiceDiskFills": f"{machine.FULL_DAYS} * 86400",
    }
    for name, limit in limits.items():
        assert limit in known[name]["expr"], name
    assert known["OrderServiceReceiverAway"]["for"] == "15m"
    assert processing.AWAY.total_seconds() == 15 * MINUTE
    assert known["OrderServicePaused"]["for"] == "1h"
    assert processing.PAUSED.total_seconds() == 60 * MINUTE

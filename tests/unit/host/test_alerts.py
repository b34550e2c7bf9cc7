"""What `alert` tells: each trouble once, and its end, to a real listener."""

from __future__ import annotations

import errno
import json
import re
import runpy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from order_service.alerts import alert, book, rules, sending, settings
from order_service.host import write_json
from order_service.status import backups, machine, processing, samples

from tests.support.fake_host import Program
from tests.support.hook_receiver import Call, HookReceiver, open_receiver, reply
from tests.support.host_causes import CAUSES
from tests.support.host_facts import Facts, stamp
from tests.support.ports import HOST, free_port
from tests.support.prometheus import CONFIGURATION
from tests.support.service_process import REPOSITORY

MINUTE, DAY = 60, 86_400
# Longer than what comes and goes.
CALM = book.CALM_SECONDS + 1
TOKEN = "token-that-nobody-else-may-see"
PAGERDUTY = {
    "routing_key": TOKEN,
    "event_action": "$action",
    "dedup_key": "$key",
    "payload": {"summary": "$title", "source": "$host", "severity": "$severity", "custom": [1]},
}


class Clock:
    """Time for the alerts, which passes when a test says so."""

    def __init__(self) -> None:
        self.now = time.time()
        self.monotonic = time.monotonic

    def time(self) -> float:
        """Return the seconds since 1970."""
        return self.now


@dataclass
class Alerts:
    """A host that tells a receiver."""

    on: Facts
    receiver: HookReceiver
    program: Program
    clock: Clock

    def configure(self, **changed: Any) -> None:
        """Write the settings, as the role does."""
        url = f"http://{HOST}:{self.receiver.port}/{TOKEN}"
        given = {"host": "orders-1", "url": url, "heartbeat_url": f"{url}/beat"} | changed
        self.on.write("settings/alerts.json", **given)

    def run(self, after: float = 0, *arguments: str) -> list[Call]:
        """Let so many seconds pass, run the program, and return what the receiver got."""
        self.clock.now += after
        before = len(self.receiver.calls)
        self.program(alert.main, *arguments)
        return self.receiver.calls[before:]

    def told(self, after: float = 0, *arguments: str) -> list[str]:
        """The same; return the texts of the alerts, but no heartbeats."""
        calls = [call for call in self.run(after, *arguments) if call.line.startswith("POST")]
        return [json.loads(call.body)["text"] for call in calls]

    def fails(self, after: float = 0) -> str:
        """Run the program, which is to fail, and return what it says."""
        with pytest.raises(SystemExit) as ended:
            self.run(after)
        assert TOKEN not in str(ended.value)
        return str(ended.value)


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with open_receiver() as opened:
        yield opened


@pytest.fixture
def alerts(
    facts: Facts, receiver: HookReceiver, program: Program, monkeypatch: pytest.MonkeyPatch
) -> Alerts:
    clock = Clock()
    monkeypatch.setattr(alert, "time", clock)
    made = Alerts(facts, receiver, program, clock)
    made.configure()
    return made


def beats(calls: list[Call]) -> int:
    """Return how many heartbeats are among the calls."""
    return sum(call.line.startswith("GET") for call in calls)


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


ALL = [*rules.RULES.values(), rules.OTHER]


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


def test_a_receiver_that_is_away_loses_nothing(alerts: Alerts) -> None:
    """Also what was over before it came back."""
    alerts.configure(url=f"http://{HOST}:{free_port()}/{TOKEN}")
    alerts.on.destination("")
    assert "alert_url: [Errno 111] Connection refused" in alerts.fails()
    alerts.on.good()
    assert "Connection refused" in alerts.fails(CALM)
    alerts.on.job("backup", "failed", hours=1)
    assert "Connection refused" in alerts.fails(MINUTE)
    assert alerts.receiver.calls == []  # no heartbeat, either
    alerts.configure()
    first, second, third = alerts.told(MINUTE)
    assert first.startswith("PROBLEM: OrderServiceNoCopyOffHost")
    assert second.startswith("OVER: OrderServiceNoCopyOffHost")
    assert third.startswith("PROBLEM: OrderServiceBackupFailed")
    assert alerts.told(MINUTE) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(500), "alert_url: it answers 500"),
        (reply(404), "alert_url: it answers 404"),
        (b"nonsense\r\n\r\n", "alert_url: BadStatusLine"),
    ],
)
def test_what_is_not_taken_is_told_again(alerts: Alerts, answer: bytes, said: str) -> None:
    alerts.on.destination("")
    alerts.receiver.answer = answer
    assert said in alerts.fails()
    alerts.receiver.answer = reply()
    assert len(alerts.told(MINUTE)) == 1


def test_a_redirected_alert_is_not_taken(alerts: Alerts) -> None:
    """It would be asked for by GET elsewhere, where nobody reads it."""

    def redirect(connection: Any) -> None:
        posted = alerts.receiver.calls[-1].line.startswith("POST")
        connection.sendall(reply(302, Location="/elsewhere") if posted else reply())

    alerts.receiver.answer = redirect
    alerts.on.destination("")
    assert "alert_url: it answers 302" in alerts.fails()


def test_nobody_is_told_the_end_of_what_they_have_not_heard_of(alerts: Alerts) -> None:
    answers = [reply(500), reply(500)]

    def busy(connection: Any) -> None:
        connection.sendall(answers.pop() if answers else reply())

    alerts.receiver.answer = busy
    alerts.on.destination("")
    alerts.fails()
    alerts.on.good()
    alerts.fails(CALM)
    assert len(alerts.receiver.calls) == 2
    assert [text.partition(":")[0] for text in alerts.told(MINUTE)] == ["PROBLEM", "OVER"]


def test_a_receiver_that_hangs_is_waited_for_for_a_while_only(
    alerts: Alerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SECONDS", 0.3)
    alerts.on.destination("")
    alerts.receiver.answer = alerts.receiver.silence
    begun = time.monotonic()
    assert "alert_url: " in alerts.fails()
    assert time.monotonic() - begun < 3
    alerts.receiver.answer = reply()
    assert len(alerts.told(MINUTE)) == 1


def test_an_answer_that_comes_byte_by_byte_is_not_waited_for_either(
    alerts: Alerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SECONDS", 0.3)

    def drip(connection: Any) -> None:
        while not alerts.receiver.ended.wait(0.05):
            connection.sendall(b"H")

    alerts.on.destination("")
    alerts.receiver.answer = drip
    begun = time.monotonic()
    assert "alert_url: no answer within 0.3 s" in alerts.fails()
    assert time.monotonic() - begun < 3


def test_many_troubles_at_a_receiver_that_hangs_take_no_longer(
    alerts: Alerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SECONDS", 0.2)
    monkeypatch.setattr(alert, "BUDGET_SECONDS", 0.1)
    for job in ("backup", "drill"):
        alerts.on.job(job, "failed", hours=1)
    alerts.receiver.answer = alerts.receiver.silence
    alerts.fails()
    assert len(alerts.receiver.calls) == 1


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


def test_a_template_is_filled_and_stays_json_whatever_is_told(alerts: Alerts) -> None:
    alerts.configure(template=PAGERDUTY | {"note": 'for $$5: "$text"'}, headers={"X-Key": TOKEN})
    alerts.on.failed_units('order-service-"}{$host\\.service')
    (call,) = alerts.run()
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["X-Key"] == TOKEN
    sent = json.loads(call.body)
    assert sent["note"].startswith('for $5: "PROBLEM: OrderServiceUnitFailed on orders-1\n')
    assert '"}{$host\\.service has failed' in sent["note"]
    assert sent["routing_key"] == TOKEN
    assert sent["event_action"] == "trigger"
    assert sent["payload"]["custom"] == [1]
    assert sent["payload"]["severity"] in ("critical", "error", "warning", "info")
    alerts.on.good()
    (end, _beat) = alerts.run(CALM)
    resolved = json.loads(end.body)
    assert (resolved["event_action"], resolved["dedup_key"]) == ("resolve", sent["dedup_key"])


@pytest.mark.parametrize("text", ["$nobody", "$", "${text"])
def test_a_wrong_placeholder_is_refused_without_the_template(alerts: Alerts, text: str) -> None:
    alerts.configure(template={"a": [{"b": f"{TOKEN} {text}"}]})
    assert "a placeholder that is none of $action, $advice" in alerts.fails()


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
    alerts.told()
    (text,) = alerts.told(2 * MINUTE)
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


def test_a_heartbeat_that_nobody_takes_is_said(alerts: Alerts) -> None:
    alerts.receiver.answer = reply(503)
    assert alerts.fails() == "FAILED: heartbeat_url: it answers 503"


def test_somebody_can_try_it(alerts: Alerts, capsys: pytest.CaptureFixture[str]) -> None:
    problem, over, beat = alerts.run(0, "--test")
    assert json.loads(problem.body)["text"].startswith("PROBLEM: OrderServiceTest on orders-1\n")
    assert json.loads(over.body)["text"].startswith("OVER: OrderServiceTest on orders-1\n")
    assert beat.line.startswith("GET")
    assert "alert_url has taken a test alert and its end" in capsys.readouterr().out
    assert not (alerts.on.on.root / "state/alerts.json").exists()


def test_without_settings_it_says_what_to_set(alerts: Alerts) -> None:
    alerts.on.remove("settings/alerts.json")
    assert "does not exist; set alert_url or heartbeat_url" in alerts.fails()


def test_each_rule_leads_to_a_section_of_the_guide() -> None:
    guide = (REPOSITORY / "REMOTE_SERVER_SETUP.md").read_text()
    sections = set(re.findall(r"^##+ (.*)$", guide, re.MULTILINE))
    assert {rule.guide for rule in ALL} | {"Alerts"} <= sections
    table = guide.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert {rule.name for rule in ALL} | {"OrderServiceTest"} == set(
        re.findall(r"`(OrderService\w+)`", table)
    )


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


def test_the_control_node_knows_the_placeholders() -> None:
    filters = REPOSITORY / "deploy/ansible/roles/control/filter_plugins/inputs.py"
    assert runpy.run_path(str(filters))["PLACEHOLDERS"] == settings.PLACEHOLDERS

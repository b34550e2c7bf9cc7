"""Who is told by `alert`: receivers that are away, hang or refuse, and what they are sent."""

from __future__ import annotations

import json
import runpy
import time
from typing import Any

import pytest
from order_service.alerts import alert, sending, settings

from tests.support.alerted_host import CALM, MINUTE, TOKEN, Alerts
from tests.support.hook_receiver import reply
from tests.support.ports import HOST, free_port
from tests.support.service_process import REPOSITORY

PAGERDUTY = {
    "routing_key": TOKEN,
    "event_action": "$action",
    "dedup_key": "$key",
    "payload": {"summary": "$title", "source": "$host", "severity": "$severity", "custom": [1]},
}


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


def test_the_control_node_knows_the_placeholders() -> None:
    filters = REPOSITORY / "deploy/ansible/roles/control/filter_plugins/inputs.py"
    assert runpy.run_path(str(filters))["PLACEHOLDERS"] == settings.PLACEHOLDERS

"""`flask orders retry --status …` and `cancel --status …`: all that match, by an operation.

Which orders match is in web/test_operations.py, which goes the same way.
"""

from __future__ import annotations

import getpass
import threading
import time
from typing import Any

import pytest
import simplejson
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from service.commands import operations as command
from service.storage import operations
from service.storage.models import Order, OrderStatus
from service.storage.moments import parse_moment
from tests.support.answers import json_of
from tests.support.commands import assert_wrong_usage, json_from, run
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.polling import wait_until
from tests.support.processors import SECONDS, processing
from tests.support.stored_orders import add_finished, add_waiting

POLL_SECONDS = 0.05
FEBRUARY = "2026-02-01T00:00:00Z"


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch, fresh_looks: None) -> None:  # noqa: ARG001
    monkeypatch.setattr(command, "LOOK_SECONDS", 0.02)
    # So that a count takes several statements.
    monkeypatch.setattr(command, "COUNTED", 2)


@pytest.fixture
def filled(store: Store) -> Store:
    """Orders 1 to 5 Failed, of which 1 and 2 were accepted in January; 6 and 7 waiting."""
    add_finished(store, range(1, 6), OrderStatus.FAILED, last_error="503 Unavailable")
    add_waiting(store, [6, 7])
    old = update(Order).where(Order.order_id <= 2)
    moment = parse_moment("2026-01-15T12:00:00Z")
    store.run(lambda its: its.execute(old.values(created_at=moment, last_error="404 Not Found")))
    return store


def stored(client: FlaskClient) -> list[dict[str, Any]]:
    """Return the operations, newest first."""
    found: list[dict[str, Any]] = json_of(client.get("/operations"))["operations"]
    return found


def test_a_retry_runs_in_the_service_and_shows_its_progress(
    app: Flask, client: FlaskClient, filled: Store, url: str
) -> None:
    with processing(url, lambda _task: None, poll_seconds=POLL_SECONDS):
        wait_until(lambda: json_from(app, "orders", "stats")["processors"], SECONDS, "a processor")
        result = run(app, "orders", "retry", "--status", "Failed", "--yes")
        expected = dict.fromkeys(range(1, 6), "Completed") | {6: "Pending", 7: "Pending"}
        wait_until(lambda: filled.statuses() == expected, SECONDS, "the retried orders' end")
    assert (result.exit_code, result.stderr) == (0, "")
    first, *_, last = result.stdout.splitlines()
    [operation] = stored(client)
    assert first.startswith(f"Operation {operation['operation_id']} runs in the service")
    assert "No processor" not in result.stdout
    assert last == "Completed: 5 orders changed, 0 skipped"
    assert operation["requested_by"] == f"command line: {getpass.getuser()}"


def test_so_does_a_cancel_for_programs(
    app: Flask, client: FlaskClient, filled: Store, url: str
) -> None:
    with processing(url, lambda _task: None, poll_seconds=POLL_SECONDS):
        found = json_from(app, "orders", "cancel", "--status", "Pending", "--yes")
    assert (found["state"], found["changed"], found["skipped"]) == ("Completed", 2, 0)
    assert [found] == stored(client)
    assert filled.statuses() == dict.fromkeys(range(1, 6), "Failed") | dict.fromkeys(
        (6, 7), "Cancelled"
    )


@pytest.mark.parametrize(
    ("options", "filters"),
    [
        (["retry", "--status", "Failed"], {"status": "Failed"}),
        (["retry", "--user", "7"], {"user_id": 7}),
        (
            ["retry", "--from", FEBRUARY, "--to", "2026-03-01T00:00:00+01:00"],
            {"created_from": FEBRUARY, "created_to": "2026-03-01T00:00:00+01:00"},
        ),
        (["cancel", "--error-contains", "100% 'é"], {"error_contains": "100% 'é"}),
    ],
    ids=str,
)
@ONLY_SQLITE
def test_it_asks_for_what_the_options_say(
    app: Flask, client: FlaskClient, options: list[str], filters: dict[str, object]
) -> None:
    found = json_from(app, "orders", *options, "--yes", "--no-wait")
    assert (found["action"], found["filter"], found["state"]) == (options[0], filters, "Running")
    assert [found] == stored(client)
    assert found["new_key"] is False


@ONLY_SQLITE
def test_a_retry_with_a_new_key(app: Flask) -> None:
    options = ("--status", "Failed", "--new-key", "--yes", "--no-wait")
    assert json_from(app, "orders", "retry", *options)["new_key"] is True


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["retry", "--status", "Failed"], 5),
        (["retry", "--status", "Failed", "--to", FEBRUARY], 2),
        (["retry", "--status", "Failed", "--from", FEBRUARY], 3),
        (["retry", "--error-contains", "404"], 2),
        (["retry", "--status", "Pending"], 2),
        (["cancel", "--status", "Pending"], 2),
        (["cancel", "--user", "2"], 0),
    ],
    ids=str,
)
def test_a_dry_run_counts_and_changes_nothing(
    app: Flask,
    client: FlaskClient,
    filled: Store,
    options: list[str],
    number: int,
) -> None:
    before = filled.statuses()
    assert json_from(app, "orders", *options, "--dry-run") == {"matching": number}
    result = run(app, "orders", *options, "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{number} orders match; nothing was changed.\n"
    assert stored(client) == []
    assert filled.statuses() == before


@ONLY_SQLITE
def test_it_asks_once_with_the_number(app: Flask, client: FlaskClient, filled: Store) -> None:
    arguments = ("orders", "retry", "--status", "Failed", "--to", FEBRUARY, "--no-wait")
    for typed in ("n\n", "\n", ""):
        result = run(app, *arguments, typed=typed)
        assert result.exit_code == 1
        assert "Retry 2 orders?" in result.stdout
        assert stored(client) == []
    result = run(app, *arguments, typed="y\n")
    assert result.exit_code == 0
    assert len(stored(client)) == 1
    assert result.stdout.count("?") == 1
    assert set(filled.statuses().values()) == {"Failed", "Pending"}


@ONLY_SQLITE
def test_a_question_is_no_part_of_what_a_program_reads(app: Flask, client: FlaskClient) -> None:
    arguments = ("orders", "cancel", "--status", "Pending", "--no-wait", "--json")
    result = run(app, *arguments, typed="y\n")
    assert result.exit_code == 0
    assert "Cancel 0 orders?" in result.stderr
    assert [simplejson.loads(result.stdout)] == stored(client)


@ONLY_SQLITE
def test_it_says_that_no_processor_lives(app: Flask, client: FlaskClient) -> None:
    result = run(app, "orders", "retry", "--status", "Failed", "--yes", "--no-wait")
    assert result.exit_code == 0
    assert "No processor lives" in result.stdout
    assert stored(client)[0]["state"] == "Running"


@ONLY_SQLITE
def test_it_ends_when_somebody_stops_the_operation(
    app: Flask, client: FlaskClient, filled: Store
) -> None:
    """No processor lives: the command waits until another one says stop."""

    def stop() -> None:
        wait_until(lambda: stored(client), SECONDS, "the operation")
        client.post(f"/operations/{stored(client)[0]['operation_id']}/stop")

    stopping = threading.Thread(target=stop)
    stopping.start()
    began = time.monotonic()
    result = run(app, "orders", "cancel", "--status", "Pending", "--yes")
    stopping.join(SECONDS)
    assert time.monotonic() - began < SECONDS
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "Stopped: 0 orders changed, 0 skipped"
    assert filled.statuses()[6] == "Pending"


@ONLY_SQLITE
def test_one_that_cannot_go_on_is_told_in_one_line(
    app: Flask, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("a \x1b[2Jbroken\nfilter")

    monkeypatch.setattr(operations, "matches", refuse)
    monkeypatch.setattr(command, "_count", lambda _new: 1)
    with processing(url, lambda _task: None, poll_seconds=POLL_SECONDS):
        result = run(app, "orders", "retry", "--status", "Failed", "--yes")
    assert result.exit_code == 1
    last = result.stdout.splitlines()[-1]
    assert last == "Failed: 0 orders changed, 0 skipped: a \\x1b[2Jbroken filter"


@ONLY_SQLITE
@pytest.mark.parametrize(
    "arguments",
    [
        ["retry", "--status", "Completed"],
        ["cancel", "--status", "Failed"],
        ["retry", "--status", "failed"],
        ["retry", "--from", "2026-01-01"],
        ["cancel", "--to", "yesterday"],
        ["retry", "--error-contains", ""],
        ["retry", "--error-contains", "x" * 201],
        ["retry", "--error-contains", "\udcff"],
        ["retry", "--user", "0"],
    ],
    ids=lambda arguments: ascii(arguments)[:40],
)
def test_wrong_usage_begins_nothing(app: Flask, client: FlaskClient, arguments: list[str]) -> None:
    assert_wrong_usage(run(app, "orders", *arguments, "--yes", "--no-wait"))
    assert stored(client) == []

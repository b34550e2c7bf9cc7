"""Who did what: recorded with each change, and shown by `flask audit list`."""

from __future__ import annotations

import getpass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection

from service.storage import audit
from service.storage.audit import Act
from service.storage.clients import Scope
from service.storage.models import OrderStatus
from tests.support.answers import json_of
from tests.support.clients import add_client
from tests.support.commands import assert_wrong_usage, json_from, run, table_from
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.stored_orders import add_finished

BY_COMMAND = f"command line: {getpass.getuser()}"
CANCEL_ALL = {"action": "cancel", "filter": {"status": "Pending"}}


def entries(app: Flask) -> list[dict[str, Any]]:
    """Return what was recorded, oldest first, without numbers and times."""
    found = json_from(app, "audit", "list", "--limit", "100")
    return [{k: v for k, v in one.items() if k not in ("id", "at")} for one in reversed(found)]


def entry(who: str, action: str, subject: str, **others: str) -> dict[str, str | None]:
    return {
        "who": who,
        "action": action,
        "subject": subject,
        "detail": None,
        "request_id": None,
    } | others


def test_what_a_client_changes_is_recorded_with_its_name_and_the_request(
    app: Flask, store: Store
) -> None:
    header = add_client(store, "night shift", Scope.OPERATE)
    client = app.test_client()
    store.add_orders([1])

    def ask(request: str, path: str, body: object = None) -> Any:
        answer = client.post(path, json=body, headers=header | {"X-Request-ID": request})
        assert answer.status_code in (200, 202), answer.text
        return json_of(answer)

    ask("a", "/processing/pause", {"reason": "a stocktaking"})
    ask("b", "/orders/1/cancel")
    operation = ask("c", "/operations", CANCEL_ALL)["operation_id"]
    ask("d", f"/operations/{operation}/stop")
    ask("e", "/processing/resume")
    by = "night shift"
    began = 'cancel {"status": "Pending"}'
    assert entries(app) == [
        entry(by, "processing.pause", "processing", detail="a stocktaking", request_id="a"),
        entry(by, "order.cancel", "1", request_id="b"),
        entry(by, "operation.create", str(operation), detail=began, request_id="c"),
        entry(by, "operation.stop", str(operation), request_id="d"),
        entry(by, "processing.resume", "processing", request_id="e"),
    ]


def test_so_is_what_a_command_changes(app: Flask, store: Store) -> None:
    add_finished(store, [1, 2], OrderStatus.FAILED)
    for arguments in (
        ["processing", "pause", "--reason", "a stocktaking"],
        ["orders", "retry", "1"],
        ["orders", "retry", "2", "--new-key"],
        ["orders", "cancel", "2"],
        ["orders", "retry", "--status", "Failed", "--new-key", "--yes", "--no-wait"],
        ["processing", "resume"],
    ):
        assert run(app, *arguments).exit_code == 0
    number = json_from(app, "audit", "list")[1]["subject"]
    began = 'retry {"status": "Failed"}, with a new key'
    assert entries(app) == [
        entry(BY_COMMAND, "processing.pause", "processing", detail="a stocktaking"),
        entry(BY_COMMAND, "order.retry", "1"),
        entry(BY_COMMAND, "order.retry", "2", detail="with a new key"),
        entry(BY_COMMAND, "order.cancel", "2"),
        entry(BY_COMMAND, "operation.create", number, detail=began),
        entry(BY_COMMAND, "processing.resume", "processing"),
    ]


def test_what_changes_nothing_leaves_no_entry(
    app: Flask, client: FlaskClient, store: Store
) -> None:
    store.add_orders([1])
    add_finished(store, [2], OrderStatus.COMPLETED)
    operation = json_of(client.post("/operations", json=CANCEL_ALL))["operation_id"]
    for _ in range(2):
        client.post("/orders/1/cancel")
        client.post("/orders/2/cancel")
        client.post("/orders/3/cancel")
        client.post("/processing/pause", json={"reason": "a test"})
        client.post(f"/operations/{operation}/stop")
        run(app, "orders", "retry", "2", "3")
        client.get("/orders")
    assert [one["action"] for one in entries(app)] == [
        "operation.create",
        "order.cancel",
        "processing.pause",
        "operation.stop",
    ]


def test_an_entry_goes_with_its_change(app: Flask, store: Store) -> None:
    def change(connection: Connection) -> None:
        audit.record(connection, "somebody", Act.ORDER_CANCEL, 1)
        raise RuntimeError("the change fails")

    with pytest.raises(RuntimeError):
        store.run(change)
    assert entries(app) == []


def test_the_list_goes_on_after_an_entry(app: Flask, store: Store) -> None:
    for number in range(5):
        store.run(lambda its: audit.record(its, "me", Act.ORDER_RETRY, number))  # noqa: B023
    first = run(app, "audit", "list", "--limit", "2")
    assert [line.split()[4] for line in first.stdout.splitlines()] == ["subject", "4", "3"]
    after = first.stderr.split()[-1]
    rest = json_from(app, "audit", "list", "--after", after)
    assert [one["subject"] for one in rest] == ["2", "1", "0"]
    assert all(one["at"].endswith("Z") for one in rest)


@ONLY_SQLITE
def test_long_and_evil_text(app: Flask, store: Store) -> None:
    evil = "\x1b[2J\n" * 500
    store.run(lambda its: audit.record(its, evil, Act.ORDER_RETRY, evil, evil, request_id="r"))
    [found] = json_from(app, "audit", "list")
    assert (found["who"], found["detail"]) == (evil[:255], evil[:1000])
    shown = run(app, "audit", "list").stdout
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2
    assert len(table_from(app, "audit", "list")) == 2


@ONLY_SQLITE
@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--after", "x"], ["now"]], ids=" ".join)
def test_wrong_usage(app: Flask, arguments: list[str]) -> None:
    assert_wrong_usage(run(app, "audit", "list", *arguments))

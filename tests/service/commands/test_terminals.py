"""Nothing that was stored reaches a terminal unescaped, by whichever command."""

from __future__ import annotations

import pytest
import simplejson
from flask import Flask
from sqlalchemy import Connection, update

from service.storage import operations as dao
from service.storage import processing_state
from service.storage.models import Operation, Order, OrderAttempt, OrderStatus
from service.storage.operations import NewOperation
from service.storage.results import Result, Verdict
from tests.support import states
from tests.support.commands import run
from tests.support.databases import ONLY_SQLITE
from tests.support.inspection import Store
from tests.support.stored_orders import add_finished

pytestmark = ONLY_SQLITE

# Each control character, of Latin-1's two sets and DEL; line ends and directions of Unicode, and
# half a sequence at the end.
CONTROLS = "".join(map(chr, [*range(32), *range(127, 160), 0x2028, 0x2029, 0x202E, 0x2066, 0xFEFF]))
EVIL = f"begin \x1b[2J\x1b]0;title\x07 {CONTROLS} \x9b31m end \x1b["

# A command, and whether it shows some of that text.
COMMANDS = [
    (["orders", "list"], True),
    (["orders", "show", "1"], True),
    (["orders", "stats"], False),
    (["orders", "retry", "1"], False),
    (["orders", "cancel", "2"], False),
    (["orders", "retry", "--status", "Failed", "--dry-run"], False),
    (["orders", "retry", "--status", "Failed", "--yes"], True),
    (["orders", "cancel", "--error-contains", "begin", "--yes", "--no-wait"], False),
    (["processing", "show"], True),
    (["processing", "pause", "--reason", "another"], True),
    (["processing", "resume"], False),
]


@pytest.fixture
def _evil(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that holds such text wherever it can, and operations that end with it."""
    store.add_orders([1])
    [claim] = states.claim(store)
    states.record(store, [Result(claim, Verdict.FAIL, error="x", seconds=1.0)])
    add_finished(store, [2, 3], OrderStatus.FAILED)
    insert = dao.insert_operation

    def write(connection: Connection) -> None:
        connection.execute(update(Order).values(last_error=EVIL))
        connection.execute(update(OrderAttempt).values(error=EVIL, worker=EVIL[:64]))
        processing_state.pause(connection, EVIL, EVIL)

    def insert_ended(connection: Connection, new: NewOperation) -> int:
        number = insert(connection, new)
        ended = {"state": "Failed", "error": EVIL, "requested_by": EVIL[:255]}
        connection.execute(update(Operation).where(Operation.id == number).values(**ended))
        return number

    store.run(write)
    monkeypatch.setattr(dao, "insert_operation", insert_ended)


@pytest.mark.usefixtures("_evil")
@pytest.mark.parametrize(("arguments", "shows"), COMMANDS, ids=str)
def test_tables_and_texts(app: Flask, arguments: list[str], *, shows: bool) -> None:
    printed = run(app, *arguments).output
    assert ("begin \\x1b[2J\\x1b]0;title\\x07" in printed) == shows
    assert all(line.isprintable() for line in printed.split("\n"))


@pytest.mark.usefixtures("_evil")
@pytest.mark.parametrize(("arguments", "shows"), COMMANDS, ids=str)
def test_json(app: Flask, arguments: list[str], *, shows: bool) -> None:
    printed = run(app, *arguments, "--json").stdout
    assert ("begin \\u001b[2J" in printed) == (shows or "--no-wait" in arguments)
    assert printed.endswith("\n")
    assert printed[:-1].isprintable()
    simplejson.loads(printed)


@pytest.mark.usefixtures("_evil")
def test_json_loses_nothing(app: Flask) -> None:
    found = simplejson.loads(run(app, "orders", "show", "1", "--json").stdout)
    assert found["last_error"] == found["attempt_list"][0]["error"] == EVIL


@pytest.mark.usefixtures("_evil")
def test_what_an_operator_types_is_stored_text_as_well(app: Flask) -> None:
    run(app, "processing", "resume")
    printed = run(app, "processing", "pause", "--reason", EVIL).output
    assert "begin \\x1b[2J" in printed
    assert all(line.isprintable() for line in printed.split("\n"))

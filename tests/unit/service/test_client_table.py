"""The table of clients that each process holds: when it is read, and what it says meanwhile."""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from service import clients as module
from service.clients import Caller, Clients
from service.storage.clients import Credentials, Scope, hash_secret
from service.storage.database import Database
from service.storage.failures import NotConnected
from tests.support.databases import settings_for
from tests.support.polling import wait_until

SECRET, OTHER = "s" * 32, "o" * 32


class Table:
    """What a database says of its clients, and how often it was asked."""

    def __init__(self) -> None:
        self.rows: list[Credentials] = []
        self.problem: Exception | None = None
        self.reads = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def statement(self, _work: Callable[[Any], Any]) -> list[Credentials]:
        self.reads += 1
        assert self.may_answer.wait(10)
        if self.problem is not None:
            raise self.problem
        return list(self.rows)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def clients(table: Table, sqlite_url: str) -> Iterator[Clients]:
    """The clients of a process that does not read by itself yet."""
    made = Clients(cast("Database", table), settings_for(sqlite_url))
    yield made
    made.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read for unknown credentials as often as there are some."""
    monkeypatch.setattr(module, "EARLIEST_SECONDS", 0.0)


def client(name: str, *secrets: str, scopes: tuple[Scope, ...] = ()) -> Credentials:
    return Credentials(name, frozenset(scopes), tuple(map(hash_secret, secrets or (SECRET,))))


def names(clients: Clients, name: str = "shop", secret: str = SECRET) -> str | None:
    """Return who it is, the way a request asks."""
    header = f"{name}:{secret}"
    found = clients.remembered(header) or clients.find(name, secret, header)
    return found.name if found else None


def test_the_environments_user_is_known_without_a_database(clients: Clients, table: Table) -> None:
    found = clients.find("admin", "securepassword", "header")
    assert found == Caller("admin", frozenset(Scope))
    assert table.reads == 0
    assert clients.remembered("header") == found
    assert clients.remembered("another") is None


def test_a_new_client_is_known_at_once(clients: Clients, table: Table) -> None:
    table.rows = [client("shop", scopes=(Scope.ORDERS_READ,))]
    assert clients.find("shop", SECRET, "h") == Caller("shop", frozenset({Scope.ORDERS_READ}))
    assert table.reads == 1


def test_a_client_is_known_at_once_that_was_made_right_after_a_read(
    clients: Clients, table: Table
) -> None:
    clients.refresh()
    table.rows = [client("shop")]
    assert names(clients) == "shop"


def test_no_request_of_a_known_client_reads_it(clients: Clients, table: Table) -> None:
    table.rows = [client("shop")]
    clients.refresh()
    assert {names(clients) for _ in range(100)} == {"shop"}
    assert table.reads == 1


def test_wrong_credentials_read_it_once_a_second_at_most(clients: Clients, table: Table) -> None:
    assert {names(clients, f"guess {number}") for number in range(1000)} == {None}
    assert table.reads == 1


@pytest.mark.usefixtures("impatient")
def test_a_change_holds_for_what_was_remembered_too(clients: Clients, table: Table) -> None:
    table.rows = [client("shop", SECRET, OTHER), client("other")]
    assert [names(clients, "shop", secret) for secret in (SECRET, OTHER)] == ["shop", "shop"]
    table.rows = [client("shop", SECRET, scopes=(Scope.OPERATE,)), client("other")]
    clients.refresh()
    assert names(clients, "shop", OTHER) is None
    assert clients.find("shop", SECRET, "h") == Caller("shop", frozenset({Scope.OPERATE}))
    table.rows = [client("other")]
    clients.refresh()
    assert names(clients) is None
    assert names(clients, "other") == "other"


def test_the_environments_user_is_not_the_tables(clients: Clients, table: Table) -> None:
    table.rows = [client("admin", scopes=())]
    clients.refresh()
    assert names(clients, "admin", SECRET) is None
    assert names(clients, "admin", "securepassword") == "admin"


def test_while_the_database_is_away_the_last_table_stays(
    clients: Clients, table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    table.rows = [client("shop")]
    clients.refresh()
    table.problem = NotConnected("no route to host")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            clients.refresh()
    assert [record.getMessage() for record in caplog.records] == [
        "cannot read the clients, the last ones stay: no route to host"
    ]
    assert names(clients) == "shop"
    reads = table.reads
    # Nobody who guesses waits for it.
    assert names(clients, "guess") is None
    assert table.reads == reads


@pytest.mark.parametrize("problem", [NotConnected("away"), RuntimeError("a fault")], ids=str)
def test_it_is_read_again_and_again_whatever_happens(
    clients: Clients, table: Table, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.01)
    table.problem = problem
    clients.start()
    wait_until(lambda: table.reads > 2, 10, "reads of a database that is away")
    table.rows, table.problem = [client("shop")], None
    wait_until(lambda: names(clients) == "shop", 10, "the new client")
    table.rows = []
    wait_until(lambda: names(clients) is None, 10, "the revocation")


def test_who_comes_during_a_read_waits_for_it(
    clients: Clients, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 10.0)
    table.may_answer.clear()
    table.rows = [client("shop")]
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda: found.append(names(clients))) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: table.reads == 1, 10, "the read")
    table.may_answer.set()
    for thread in threads:
        thread.join(10)
    assert found == ["shop"] * 4


def test_of_a_read_that_hangs_others_wait_for_a_moment_only(
    clients: Clients, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    table.may_answer.clear()
    reader = threading.Thread(target=clients.refresh)
    reader.start()
    wait_until(lambda: table.reads == 1, 10, "the read")
    assert names(clients) is None
    assert names(clients, "admin", "securepassword") == "admin"
    table.may_answer.set()
    reader.join(10)


def test_what_is_remembered_is_bounded(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 2)
    for header in "abc":
        assert clients.find("admin", "securepassword", header) is not None
    assert [clients.remembered(header) is None for header in "abc"] == [False, False, True]


def test_secrets_are_compared_the_same_for_unknown_names(
    clients: Clients, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.rows = [client("shop")]
    assert names(clients, "guess") is None  # which has it read, and no later guess has
    compared: list[tuple[bytes, bytes]] = []
    real: Callable[[bytes, bytes], bool] = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    counts = []
    for name, secret in (("shop", SECRET), ("shop", OTHER), ("nobody", SECRET)):
        compared.clear()
        clients.find(name, secret, "h")
        counts.append(len(compared))
        assert all(len(one) == len(other) == 32 for one, other in compared)
    assert counts == [2, 2, 2]

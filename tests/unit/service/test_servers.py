"""Which of several servers is connected to, and how often they are asked, by a driver that connects
to nothing. What real ones do is in `tests/service/group`."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import exc

from service.database_url import SERVERS
from service.storage import servers as module
from service.storage.servers import Servers

NAMES = ("a:1", "b:2", "c:3")
# So long takes a look at a server that is frozen.
FROZEN_SECONDS = 0.3


class DriverError(Exception):
    """The driver's error."""


class Connection:
    """A connection to a server of the driver below."""

    Error = DriverError

    def __init__(self, driver: Driver, name: str) -> None:
        self._driver, self.name = driver, name

    def cursor(self) -> Connection:
        return self

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, _statement: str) -> None:
        self._driver.answer(self.name)

    def fetchone(self) -> tuple[int]:
        return (int(self.name not in self._driver.writable),)

    def close(self) -> None:
        pass


class Driver:
    """Servers that take writes, are read-only, or frozen; `asked` are the looks at them."""

    loaded_dbapi = SimpleNamespace(Error=DriverError, OperationalError=DriverError)

    def __init__(self, *writable: str) -> None:
        self.writable = set(writable)
        self.frozen: set[str] = set()
        self.asked: list[str] = []

    def connect(self, host: str, port: int, **limits: float) -> Connection:
        name = f"{host}:{port}"
        if limits:
            self.asked.append(name)
        self.answer(name)
        return Connection(self, name)

    def answer(self, name: str) -> None:
        if name in self.frozen:
            time.sleep(FROZEN_SECONDS)
            raise DriverError(2013, "timed out")


class Pool:
    """Connects as SQLAlchemy's pool does."""

    def __init__(self, driver: Driver) -> None:
        self.servers, self._driver = Servers(), driver

    def connect(self) -> tuple[Connection, Any]:
        record = SimpleNamespace(info={})
        driver: Any = self._driver
        return self.servers.connect(driver, record, (), {SERVERS: NAMES}), record


def test_the_one_that_takes_writes_is_found_and_asked_first_from_then_on() -> None:
    driver = Driver("b:2")
    pool = Pool(driver)
    assert pool.connect()[0].name == "b:2"
    assert driver.asked == ["a:1", "b:2"]
    assert pool.connect()[0].name == "b:2"
    assert driver.asked == ["a:1", "b:2", "b:2"]


def test_none_takes_writes() -> None:
    driver = Driver()
    driver.frozen.add("b:2")
    expected = "none of .* a:1 is read-only; b:2: timed out; c:3 is read-only"
    with pytest.raises(DriverError, match=expected):
        Pool(driver).connect()


def test_a_server_that_has_failed_is_asked_last_whatever_it_says_of_itself() -> None:
    driver = Driver("a:1")
    pool = Pool(driver)
    _, record = pool.connect()
    # It is cut off from its group, which has another primary now.
    driver.writable.add("c:3")
    pool.servers.leave(record.info)
    assert pool.connect()[0].name == "c:3"
    # And it is the only one again.
    driver.writable = {"a:1"}
    assert pool.connect()[0].name == "a:1"


def test_a_frozen_server_costs_all_threads_one_wait() -> None:
    driver = Driver()
    driver.frozen = {"a:1"}
    pool = Pool(driver)
    threads = 8
    together = threading.Barrier(threads)

    def connect() -> None:
        together.wait()
        with pytest.raises(DriverError):
            pool.connect()

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as executor:
        for one in [executor.submit(connect) for _ in range(threads)]:
            one.result()
    assert time.monotonic() - began < 3 * FROZEN_SECONDS
    assert driver.asked.count("a:1") <= 2


@pytest.mark.parametrize("end", ["read-only", "frozen"])
def test_a_connection_is_asked_now_and_then(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver("a:1")
    pool = Pool(driver)
    connection, record = pool.connect()
    pool.servers.check(connection, record, None)
    if end == "frozen":
        driver.frozen.add("a:1")
    driver.writable = {"b:2"}
    pool.servers.check(connection, record, None)
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    with pytest.raises(exc.InvalidatePoolError):
        pool.servers.check(connection, record, None)
    assert pool.connect()[0].name == "b:2"
    assert driver.asked[-1] == "b:2"

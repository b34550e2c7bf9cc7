"""A reload takes new settings for all workers, or keeps the former ones for all."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import urllib3

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.ports import HOST
from tests.support.service_process import Server

SECONDS = 30.0
FORMER, NEW = "the former one", "the new one"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(FORMER)
    return path


@pytest.fixture
def server(tmp_path: Path, sqlite_url: str, password_file: Path) -> Iterator[Server]:
    settings = {"AUTH_PASSWORD_FILE": password_file, "WEB_CONCURRENCY": 2, "PROCESSOR_THREADS": 0}
    with Server(tmp_path, sqlite_url, **settings) as server:
        server.start()
        wait_for_two(server)
        yield server


def wait_for_two(server: Server) -> None:
    wait_until(lambda: len(server.workers()) == 2, SECONDS, "two workers")


def statuses(server: Server, password: str) -> set[int]:
    """Return the answers of the workers to this password, on enough connections to meet both."""
    headers = urllib3.make_headers(basic_auth=f"admin:{password}") | {"Connection": "close"}
    with urllib3.HTTPConnectionPool(HOST, server.port, retries=False) as pool:
        return {pool.request("GET", "/orders/1", headers=headers).status for _ in range(30)}


def reload(server: Server) -> None:
    """Send SIGHUP, and wait until other workers serve."""
    before = set(server.workers())
    server.popen.send_signal(signal.SIGHUP)

    def are_replaced() -> bool:
        return len(server.workers()) == 2 and not before & set(server.workers())

    wait_until(are_replaced, SECONDS, "other workers")
    wait_until(server._ready, SECONDS, "their readiness")


def test_a_reload_takes_new_settings(server: Server, password_file: Path) -> None:
    assert statuses(server, FORMER) == {404}
    password_file.write_text(NEW)
    reload(server)
    assert statuses(server, NEW) == {404}
    assert statuses(server, FORMER) == {401}


@pytest.mark.parametrize("text", ["", "not UTF-8: \udcff"], ids=["empty", "no text"])
def test_a_reload_with_invalid_settings_keeps_the_former(
    server: Server, password_file: Path, text: str
) -> None:
    password_file.write_bytes(text.encode("utf-8", "surrogateescape"))
    reload(server)
    assert statuses(server, FORMER) == {404}
    [line] = [line for line in server.log.splitlines() if "AUTH_PASSWORD_FILE" in line]
    assert "keeps the former settings" in line
    assert "Traceback" not in server.log


def test_a_reload_with_a_port_that_another_has_keeps_the_former(
    tmp_path: Path, sqlite_url: str
) -> None:
    port_file = tmp_path / "port"
    with socket.create_server((HOST, 0)) as other:
        server = Server(tmp_path, sqlite_url, PORT="", PORT_FILE=port_file, WEB_CONCURRENCY=2)
        port_file.write_text(str(server.port))
        with server:
            server.start()
            wait_for_two(server)
            port_file.write_text(str(other.getsockname()[1]))
            reload(server)
            assert "keeps the former settings: PORT" in server.log
            assert server.client.get("/ping").status == 200


def test_a_worker_that_comes_later_has_the_same_settings(
    server: Server, password_file: Path
) -> None:
    password_file.write_text(NEW)
    killed = server.workers()[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in server.workers(), SECONDS, "its end")
    wait_for_two(server)
    assert statuses(server, FORMER) == {404}
    assert statuses(server, NEW) == {401}


HANDLER = """
import os
with open(os.environ["IMPORTS"], "a") as file:
    file.write(f"{os.getpid()} {os.getppid()}\\n")

def handle(task):
    with open(os.environ["IMPORTS"], "a") as file:
        file.write(f"used in {os.getpid()}\\n")
"""


def test_a_handler_is_imported_in_each_worker_and_never_in_the_master(
    tmp_path: Path, sqlite_url: str
) -> None:
    """What its module opens would be shared by all workers: a connection with crossed answers."""
    (tmp_path / "warehouse.py").write_text(HANDLER)
    imports, name = tmp_path / "imports", tmp_path / "name"
    name.write_text("warehouse:handle")
    settings = {
        "ORDER_HANDLER_FILE": name,
        "PYTHONPATH": tmp_path,
        "IMPORTS": imports,
        "WEB_CONCURRENCY": 2,
    }
    with Server(tmp_path, sqlite_url, **settings) as server:
        server.start()
        wait_for_two(server)
        wait_until(lambda: len(imports.read_text().splitlines()) >= 3, SECONDS, "the imports")
        imported = {int(line.split()[0]) for line in imports.read_text().splitlines()}
        assert server.popen.pid not in imported
        assert imported >= set(server.workers())
        # A reload with a handler that is not there keeps the former.
        name.write_text("nowhere:handle")
        reload(server)
        assert "keeps the former settings: ORDER_HANDLER: cannot import 'nowhere'" in server.log


def test_a_handler_that_breaks_later_leaves_the_service_serving(
    tmp_path: Path, sqlite_url: str
) -> None:
    (tmp_path / "warehouse.py").write_text("def handle(task): pass\n")
    settings = {"ORDER_HANDLER": "warehouse:handle", "PYTHONPATH": tmp_path}
    with Server(tmp_path, sqlite_url, **settings) as server:
        server.start()
        (tmp_path / "warehouse.py").write_text("raise RuntimeError('broken')\n")
        [before] = server.workers()
        os.kill(before, signal.SIGKILL)

        def is_replaced() -> bool:
            with suppress(urllib3.exceptions.HTTPError):
                return server.client.get("/readyz").status == 503
            return False

        wait_until(is_replaced, SECONDS, "another worker")
        problems = server.client.get("/readyz").json()["problems"]
        assert problems == {"processor": "the processor is not running"}
        assert server.client.post(order_body(1)).status == 201
        assert "RuntimeError: broken" in server.log
        assert "Traceback" not in server.log

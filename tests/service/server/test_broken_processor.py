"""A server whose processor does not live any more says so, or is started anew."""

from __future__ import annotations

import json
from pathlib import Path

import urllib3

from tests.support.calls import Calls
from tests.support.databases import order_body
from tests.support.inspection import open_store
from tests.support.order_handlers import Behaviour
from tests.support.polling import wait_until
from tests.support.raw_http import RawConnection, get
from tests.support.service_process import Server

SECONDS = 30.0


def test_a_dead_processor_is_named(tmp_path: Path, sqlite_url: str) -> None:
    handler = "tests.support.fatal_handlers:end_dispatcher"
    with Server(tmp_path, sqlite_url, ORDER_HANDLER=handler) as server:
        client = server.start().client
        assert client.post(order_body(1)).status == 201
        wait_until(lambda: client.get("/readyz").status == 503, SECONDS, "the processor's death")
        answer = client.get("/readyz")
        assert answer.json()["problems"] == {
            "processor": "the processor's dispatcher thread is dead"
        }
        assert int(answer.headers["Retry-After"]) >= 1
        # It serves all the same.
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.post(order_body(2)).status == 201


def test_a_server_whose_handlers_all_hang_is_started_anew(tmp_path: Path, sqlite_url: str) -> None:
    settings = Calls(tmp_path).environment | {
        "PROCESSOR_THREADS": 2,
        "PROCESSOR_HANDLER_TIMEOUT_SECONDS": 0.5,
        "PROCESSOR_RETRY_DELAYS": "none",
    }
    with Server(tmp_path, sqlite_url, **settings) as server, open_store(sqlite_url) as store:
        server.start()
        [before] = server.workers()
        # Kept open, and therefore answered until the very end.
        with RawConnection(server.port) as connection:
            for number in (1, 2):
                server.client.post(order_body(number, user_id=Behaviour.HANGS))

            def problems() -> dict[str, str]:
                connection.send(get("/readyz"))
                found: dict[str, str] = json.loads(connection.answer().body).get("problems", {})
                return found

            assert list(wait_until(problems, SECONDS, "a problem")) == ["processor"]

        def is_replaced() -> bool:
            try:
                return server.client.get("/readyz").status == 200 and before not in server.workers()
            except urllib3.exceptions.HTTPError:
                return False

        wait_until(is_replaced, SECONDS, "another worker")
        server.client.post(order_body(3, user_id=Behaviour.FINE))
        store.wait_finished(SECONDS)
        assert store.statuses() == {1: "Failed", 2: "Failed", 3: "Completed"}
        assert server.popen.poll() is None

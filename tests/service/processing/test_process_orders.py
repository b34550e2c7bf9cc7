"""`flask process-orders` and those who watch it on METRICS_PORT.

What it answers otherwise, and what it does not answer, is in web/test_monitoring.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from tests.support.calls import Calls
from tests.support.inspection import open_store
from tests.support.order_handlers import Behaviour
from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.service_process import Client, Worker

SECONDS = 30.0
ORDERS = 5


def figures(client: Client) -> dict[tuple[str, str], float]:
    """Return the samples by name and label."""
    page = client.get("/metrics", accept="text/plain").data.decode()
    return {
        (sample.name.removeprefix("order_service_"), "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def answers(client: Client, path: str, status: int) -> bool:
    try:
        return client.get(path).status == status
    except urllib3.exceptions.HTTPError:
        return False


SLOW_SHOP = """
from pathlib import Path
from tests.support.order_handlers import noted as handle
Path(__file__).with_name("gate").read_text()
"""


def test_it_is_watched_from_before_its_handler_is_there_to_its_last_order(
    tmp_path: Path, sqlite_url: str
) -> None:
    port = free_port()
    (tmp_path / "slow_shop.py").write_text(SLOW_SHOP)
    # Whoever reads it waits until somebody writes.
    os.mkfifo(tmp_path / "gate")
    environment = Calls(tmp_path).environment | {
        "PYTHONPATH": tmp_path,
        "ORDER_HANDLER": "slow_shop:handle",
        "METRICS_PORT": port,
        "SLOW_SECONDS": 1,
    }
    with (
        Worker(tmp_path, sqlite_url, **environment) as worker,
        open_store(sqlite_url) as store,
    ):
        worker.start()
        client = Client(port)
        client.authorization = {}
        wait_until(lambda: answers(client, "/healthz", 200), SECONDS, "its life")
        problems = client.get("/readyz").json()["problems"]
        assert problems == {"processor": "the processor is not running"}
        (tmp_path / "gate").write_text("open")
        wait_until(lambda: answers(client, "/readyz", 200), SECONDS, "its readiness")
        assert client.get("/metrics").status == 401
        client = Client(port)
        store.add_orders(range(1, ORDERS + 1))
        store.wait_finished(SECONDS)
        found = figures(client)
        assert found["orders_claimed_total", ""] == ORDERS
        assert found["orders_finished_total", "Completed"] == ORDERS
        assert found["handler_duration_seconds_count", ""] == ORDERS
        assert found["orders", "Completed"] == ORDERS
        # It stops, but not before its last order has ended, and says so meanwhile.
        store.add_orders([ORDERS + 1], user_id=Behaviour.SLOW)
        wait_until(lambda: store.statistics().processing == 1, SECONDS, "the last order")
        worker.popen.terminate()
        wait_until(lambda: answers(client, "/readyz", 503), SECONDS, "the end of its readiness")
        problems = client.get("/readyz").json()["problems"]
        assert problems == {"processor": "the processor is stopping"}
        assert client.get("/healthz").status == 200
        assert worker.popen.wait(SECONDS) == 0
        store.assert_all_completed_once(set(range(1, ORDERS + 2)))


def test_a_port_in_use_ends_it_with_one_line(tmp_path: Path, sqlite_url: str) -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with Worker(tmp_path, sqlite_url, METRICS_PORT=port) as worker:
            assert worker.start().popen.wait(SECONDS) == 1
            [line] = worker.log.splitlines()
    assert f"METRICS_PORT: {port} cannot be used" in line

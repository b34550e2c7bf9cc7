"""MySQL's disk fills up: reads are answered, orders get 503 until there is room, none is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.load import Load
from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.service_process import Client
from tests.support.stack import Stack

# MySQL's own files take half of the disk.
SMALL_DISK = """
services:
  app:
    ports: ["{host}:{port}:5000"]
volumes:
  mysql-data:
    driver_opts: {{type: tmpfs, device: tmpfs, o: "size=400m,uid=999,gid=999,mode=700"}}
"""
FILLING = "/var/lib/mysql/filling"
# MySQL looks once a minute whether there is room again.
RECOVERY_SECONDS = 90


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def small_disk(stack: Stack, port: int) -> Iterator[Stack]:
    """Another stack of the same image, without nginx, whose data has a small disk of its own."""
    override = stack.checkout / "small-disk.yml"
    override.write_text(SMALL_DISK.format(host=HOST, port=port))
    small = Stack(
        stack.checkout,
        COMPOSE_FILE=f"docker-compose.yml:{override.name}",
        # What lies on such a disk lies in memory.
        MYSQL_MEMORY="1g",
        RELEASE=stack.project,
    )
    try:
        small.compose("up", "-d", "--wait", "app")
        yield small
    finally:
        small.close()


def processes(stack: Stack) -> list[str]:
    return [stack.inspect(name)["State"]["StartedAt"] for name in ("mysql", "app")]


def test_orders_are_refused_until_there_is_room_and_reads_are_not(
    small_disk: Stack, port: int
) -> None:
    client = Client(port)
    before = processes(small_disk)
    load = Load(client, threads=2, pause=0.05)
    with load:
        load.wait_for_more(20)
        small_disk.shell("mysql", f"dd if=/dev/zero of={FILLING} bs=64k")
        # Load itself sees to it that each 503 says when to come again.
        wait_until(lambda: load.statuses[503], 60, "a refused order")
        for path in ("/orders/1", "/orders?limit=1", "/metrics", "/ping"):
            assert client.get(path).status == 200, path
        small_disk.compose("exec", "-T", "mysql", "rm", FILLING)
        load.wait_for_more(20, RECOVERY_SECONDS)
    assert load.problems == []
    assert processes(small_disk) == before

    def finished() -> bool:
        figures = client.get("/metrics").json()
        return bool(figures["completed_orders"] == figures["total_orders"])

    wait_until(finished, 60, "the end of all orders", every=0.2)
    stored = small_disk.query("SELECT order_id FROM orders WHERE outcome = 'Completed'").stdout
    assert load.accepted <= set(map(int, stored.split()))

"""What happens to real hosts: a restart, a disk that fills up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import urllib3

from tests.support.databases import order_body
from tests.support.deployment import MYSQL, Deployment
from tests.support.polling import wait_until
from tests.support.releases import assert_completed_once
from tests.support.stack import StackClient

DATA = "/var/lib/docker/volumes/order-service_mysql-data/_data"
SMALL = "/mnt/small-disk"
# MySQL looks once a minute whether there is room again.
RECOVERY_SECONDS = 90


def unfinished(client: StackClient) -> int:
    figures = client.get("/metrics").json()
    count: int = figures["pending_orders"] + figures["processing_orders"]
    return count


def serves(client: StackClient) -> bool:
    try:
        return client.get("/metrics").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_a_host_that_restarts_with_orders_in_flight(deployment: Deployment) -> None:
    client = deployment.client()
    accepted = range(30_000_000, 30_000_300)
    for order_id in accepted:
        assert client.post(order_body(order_id)).status == 201
    before = deployment.running()
    deployment.remote.restart()
    wait_until(lambda: serves(client), 120, "the stack after the host's start", every=0.5)
    assert deployment.running() == before
    assert_completed_once(deployment, accepted)


@pytest.fixture
def small_disk(deployment: Deployment) -> Iterator[Deployment]:
    """MySQL's files on a disk of their own that is soon full; then back on the large one."""
    move = f"cp --archive {DATA}/. {SMALL}/ && chown --reference={DATA} {SMALL}"
    restart_mysql(
        deployment,
        f"mkdir -p {SMALL} && mount -t tmpfs -o size=600m tmpfs {SMALL} && {move}"
        f" && chmod --reference={DATA} {SMALL} && mount --bind {SMALL} {DATA}",
    )
    yield deployment
    restart_mysql(
        deployment,
        f"umount {DATA} && find {DATA} -mindepth 1 -delete && cp --archive {SMALL}/. {DATA}/"
        f" && umount {SMALL} && rmdir {SMALL}",
    )


def restart_mysql(deployment: Deployment, meanwhile: str) -> None:
    deployment.remote.sudo(f"docker stop {MYSQL} && {meanwhile} && docker start {MYSQL}")
    client = deployment.client()
    wait_until(lambda: serves(client), 90, "MySQL on its new disk", every=0.5)


def test_a_full_disk(small_disk: Deployment) -> None:
    client = small_disk.client()
    assert client.post(order_body(32_000_000)).status == 201
    small_disk.remote.sudo(f"dd if=/dev/zero of={DATA}/filling bs=1M 2>/dev/null || true")

    refused = iter(range(32_000_001, 32_000_100))
    wait_until(lambda: client.post(order_body(next(refused))).status == 503, 60, "a refused order")
    answer = client.post(order_body(32_000_200))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert client.get("/orders/32000000").status == 200
    assert client.get("/orders?limit=1").status == 200
    assert client.get("/ping").status == 200

    small_disk.remote.sudo(f"rm {DATA}/filling")
    wait_until(
        lambda: client.post(order_body(32_000_300)).status in (201, 409),
        RECOVERY_SECONDS,
        "an order that is accepted again",
    )
    wait_until(lambda: unfinished(client) == 0, 60, "the last order's end", every=0.5)

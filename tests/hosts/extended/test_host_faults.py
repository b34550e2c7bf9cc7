"""What happens to real hosts: a restart."""

from __future__ import annotations

import urllib3

from tests.support.databases import order_body
from tests.support.deployment import Deployment
from tests.support.polling import wait_until
from tests.support.releases import assert_completed_once
from tests.support.stack import StackClient


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
    before, ends = deployment.running(), good_ends(deployment)
    deployment.remote.restart()
    wait_until(lambda: serves(client), 120, "the stack after the host's start", every=0.5)
    assert deployment.running() == before
    assert_completed_once(deployment, accepted)
    assert good_ends(deployment) == ends + 1


def good_ends(deployment: Deployment) -> int:
    """Return how often MySQL has ended by itself, and was not killed."""
    return deployment.logs("mysql").count("Shutdown complete")

"""Clients in the stack: Prometheus' own, and those that an operator makes in a container."""

from __future__ import annotations

import pytest
import urllib3

from tests.support.databases import order_body
from tests.support.docker import DockerError, docker
from tests.support.polling import wait_until
from tests.support.stack import ORDER_IDS, Stack, StackClient

PROMETHEUS, SOMEBODY = "65534:65534", "10002:10002"
REVOKED_SECONDS = 30.0


def client_of(stack: Stack, name: str, secret: str) -> StackClient:
    client = stack.client()
    client.authorization = urllib3.make_headers(basic_auth=f"{name}:{secret}")
    return client


def read_as(stack: Stack, user: str) -> str:
    """Return Prometheus' secret, as a container with its volume and that user can read it."""
    volume = f"{stack.project}_monitoring-secrets:/run/secrets:ro"
    read = ("cat", "/run/secrets/prometheus_password")
    confined = ("--rm", "--network=none", "--cap-drop=ALL", f"--user={user}", f"--volume={volume}")
    return docker("run", *confined, f"order-service:{stack.project}", *read)


def test_prometheus_reads_its_secret_and_with_it_the_figures_alone(stack: Stack) -> None:
    client = client_of(stack, "prometheus", read_as(stack, PROMETHEUS))
    assert client.get("/metrics", accept="text/plain").status == 200
    assert client.get("/orders").status == 403
    with pytest.raises(DockerError, match="Permission denied"):
        read_as(stack, SOMEBODY)


def test_a_client_is_made_and_revoked_in_a_container(stack: Stack) -> None:
    flask = ("exec", "-T", "app", "flask", "clients")
    secret = stack.compose(*flask, "create", "shop", "--scope", "orders:write").strip()
    client = client_of(stack, "shop", secret)
    assert client.post(order_body(next(ORDER_IDS))).status == 201
    assert client.get("/orders").status == 403
    stack.compose(*flask, "revoke", "shop")
    wait_until(lambda: client.get("/orders").status == 401, REVOKED_SECONDS, "its end", every=0.5)

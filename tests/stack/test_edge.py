"""Who a client is to nginx, and maintenance: nginx alone, behind proxies that are no such."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker import docker
from tests.support.edge import Answer, Edge, running_edge
from tests.support.polling import wait_until
from tests.support.stack import Stack

MOST_WRONG = 3
WRONG = {"Authorization": "wrong"}
# Docker's own networks: whoever asks from this machine comes by their gateways.
GATEWAYS = "172.16.0.0/12, 192.168.0.0/16"
HAS_IPV6 = Path("/proc/net/if_inet6").exists()
ASK_BY_IPV6 = """
import ssl, urllib.request
context = ssl._create_unverified_context()
print(urllib.request.urlopen("https://[{}]:8443/", context=context).read().decode())
"""
PROXY = b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 443\r\n"
# As HAProxy speaks it when it asks for itself: version 2, LOCAL.
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
MOST_A_SECOND = 10


@pytest.fixture(scope="module")
def edge(shared_stack: Stack) -> Iterator[Edge]:
    settings = {
        "TRUSTED_PROXIES": GATEWAYS,
        "LIMIT_FAILED_LOGINS": str(MOST_WRONG),
        "LIMIT_REQUESTS_PER_SECOND": str(MOST_A_SECOND),
        "IPV6": "true" if HAS_IPV6 else "false",
        # A network of its own.
        "WEB_SUBNET_IPV6": f"fd{secrets.token_hex(1)}:{secrets.token_hex(2)}:1:2::/64",
    }
    with running_edge(shared_stack, **settings) as edge:
        yield edge


def guesses(edge: Edge, *addresses: str) -> list[int]:
    """Return what one wrong guess too many gets, each from the next address."""
    forwarded = [addresses[number % len(addresses)] for number in range(MOST_WRONG + 1)]
    return [edge.ask("/", WRONG | {"X-Forwarded-For": one}).status for one in forwarded]


def test_clients_behind_a_proxy_have_limits_of_their_own(edge: Edge) -> None:
    assert guesses(edge, "198.51.100.1") == [401] * MOST_WRONG + [429]
    assert edge.ask("/", {"X-Forwarded-For": "198.51.100.1"}).status == 429
    answer = edge.ask("/", {"X-Forwarded-For": "198.51.100.2"})
    assert (answer.status, answer.body) == (200, "198.51.100.2")
    [line] = edge.accesses("request_id", answer.headers["X-Request-ID"])
    assert line["client"] == "198.51.100.2"


def test_the_addresses_of_an_ipv6_network_are_one_client(edge: Edge) -> None:
    network = ("2001:db8:0:7::1", "2001:db8:0:7:aaaa:bbbb:cccc:dddd", "2001:db8:0:7:1::")
    assert guesses(edge, *network) == [401] * MOST_WRONG + [429]
    assert guesses(edge, "2001:db8::1", "2001:db8::ffff") == [401] * MOST_WRONG + [429]
    assert edge.ask("/", {"X-Forwarded-For": "2001:db8:0:8::1"}).status == 200


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_nginx_is_reached_by_ipv6_and_sees_who_asks(edge: Edge) -> None:
    network = f"{edge.project}_web"
    nginx = edge.inspect("nginx")["NetworkSettings"]["Networks"][network]["GlobalIPv6Address"]
    form = f'{{{{(index .NetworkSettings.Networks "{network}").GlobalIPv6Address}}}}'
    client = docker("inspect", "--format", form, edge.servers[0]).strip()
    asked = docker("exec", edge.servers[0], "python", "-c", ASK_BY_IPV6.format(nginx))
    assert asked.strip() == client


def test_the_last_address_that_is_no_proxys_is_the_client(edge: Edge) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.3, 192.168.1.1"}
    assert edge.ask("/", forwarded).body == "198.51.100.3"


def test_whoever_is_no_proxy_speaks_for_itself(edge: Edge) -> None:
    forwarded = ("--header", "X-Forwarded-For: 198.51.100.4")
    assert edge.ask_from_within("/", *forwarded).stdout == "127.0.0.10"


def test_a_client_cannot_fill_the_log_with_long_lines(edge: Edge) -> None:
    path = f"/{'x' * 2000}"
    answer = edge.ask(path, {"User-Agent": "y" * 2000})
    [line] = edge.accesses("request_id", answer.headers["X-Request-ID"])
    assert (line["path"], line["user_agent"]) == (f"{path[:512]}...", f"{'y' * 256}...")


@contextmanager
def lying_there(edge: Edge, name: str) -> Iterator[None]:
    """Have a file beside the upstream."""
    file = edge.checkout / "deploy" / "nginx" / "upstream" / name
    file.write_text("{}")
    try:
        yield
    finally:
        file.unlink()


def test_maintenance_is_answered_until_it_ends(edge: Edge) -> None:
    with lying_there(edge, "maintenance.json"):
        for method, path in (("GET", "/orders"), ("POST", "/orders"), ("GET", "/no/such/path")):
            answer = edge.ask(path, {"X-Request-ID": "mine"}, method=method)
            assert answer.status == 503
            assert answer.headers["Content-Type"] == "application/json"
            assert "maintenance" in json.loads(answer.body)["error"]
            assert answer.headers["Retry-After"] == "30"
            assert answer.headers["X-Request-ID"] == "mine"
            assert answer.headers["Cache-Control"] == "no-store"
        page = edge.ask("/console/orders?status=Failed")
        assert (page.status, page.headers["Retry-After"]) == (503, "30")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "closed for maintenance" in page.body
        # A balancer goes on sending clients here, where they get an answer.
        assert edge.ask("/ping").status == 200
        # It begins with it, too.
        docker("restart", "--time", "1", *edge.containers("nginx"))
        edge.wait_until_it_passes_on()
        assert edge.ask("/orders").status == 503
    assert edge.ask("/orders").status == 200


def told(edge: Edge, status: int, **how: Any) -> dict[str, str]:
    """Wait until a balancer is told this; return what is said to it."""
    answers: list[Answer] = []

    def asked() -> bool:
        answers.append(edge.ask("/lb-health", **how))
        return answers[-1].status == status

    wait_until(asked, 10, f"the status {status}")
    said: dict[str, str] = json.loads(answers[-1].body) if status == 503 else {}
    return said


def test_a_balancer_is_told_whether_to_send_clients_here(edge: Edge) -> None:
    told(edge, 200)
    told(edge, 200, tls=False)
    with lying_there(edge, "maintenance.json"):
        told(edge, 200)
    with lying_there(edge, "drain"):
        assert told(edge, 503) == told(edge, 503, tls=False) == {"status": "draining"}
        assert edge.ask("/orders").status == 200
        inside = edge.shell("nginx", "curl --silent http://127.0.0.1:8081/lb-health")
        assert json.loads(inside.stdout) == {"status": "draining"}
    docker("pause", edge.servers[0])
    try:
        began = time.monotonic()
        assert told(edge, 503) == {"status": "away"}
        assert time.monotonic() - began < 3
    finally:
        docker("unpause", edge.servers[0])
    told(edge, 200)
    # Neither limited nor written down.
    statuses = {edge.ask("/lb-health", tls=False).status for _ in range(4 * MOST_A_SECOND)}
    assert 429 not in statuses
    assert edge.accesses("path", "/lb-health") == []


def test_a_client_is_not_told_what_a_balancer_is(edge: Edge) -> None:
    with lying_there(edge, "drain"):
        for forwarded in ("198.51.100.6", "192.168.1.1, 198.51.100.6"):
            answer = edge.ask("/lb-health", {"X-Forwarded-For": forwarded})
            assert (answer.status, json.loads(answer.body)) == (404, {"error": "Not found"})
            assert edge.accesses("request_id", answer.headers["X-Request-ID"])


def test_the_proxy_protocol_tells_the_client(edge: Edge) -> None:
    spoofed = ("--haproxy-clientip", "198.51.100.9")
    edge.start_nginx(*spoofed, PROXY_PROTOCOL="on")
    # Who is no proxy may say so, too, and stays who it is.
    assert edge.ask_from_within("/", *spoofed).stdout == "127.0.0.10"
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    assert edge.ask("/", forwarded, first=PROXY).body == "198.51.100.7"
    asked = [edge.ask("/", WRONG, first=PROXY).status for _ in range(MOST_WRONG + 1)]
    assert asked == [401] * MOST_WRONG + [429]
    other = PROXY.replace(b"100.7", b"100.8")
    assert edge.ask("/", first=other).body == "198.51.100.8"
    assert edge.ask("/lb-health", first=other).status == 404
    told(edge, 200, first=LOCAL)
    told(edge, 200, first=LOCAL, tls=False)
    with socket.create_connection((edge.host, edge.http_port), 10) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with suppress(ConnectionError):
            assert connection.recv(1) == b""

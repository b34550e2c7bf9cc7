"""What can be set: where the stack is bound, certificates, plain HTTP, limits and workers."""

from __future__ import annotations

import errno
import select
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import pytest
import urllib3
from cryptography import x509
from order_service.certificates import authority

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.prometheus import Prometheus
from tests.support.service_process import AUTHORIZATION
from tests.support.stack import ORDER_IDS, Stack, StackClient

MOST_CONNECTIONS = 8
SETTINGS = {
    "BIND_ADDRESS": "127.0.0.2",
    "COMPOSE_PROFILES": "worker",
    # So that orders are at work for long enough to be seen.
    "SIMULATE_MAX_MILLISECONDS": "1000",
    "PLAIN_HTTP": "serve",
    "TLS_NAMES": "orders.example, 127.0.0.2",
    "LIMIT_REQUESTS_PER_SECOND": "20",
    "LIMIT_CONNECTIONS": str(MOST_CONNECTIONS),
    "LIMIT_FAILED_LOGINS": "5",
}


def test_a_worker_tells_its_health_and_its_figures_in_its_network(stack: Stack) -> None:
    # `up` has waited for its health check.
    assert stack.inspect("worker")["State"]["Health"]["Status"] == "healthy"
    assert not stack.inspect("worker")["HostConfig"]["PortBindings"]
    asked = """
import base64, pathlib, urllib.request
password = pathlib.Path("/run/secrets/auth_password").read_text()
credentials = base64.b64encode(f"admin:{password}".encode()).decode()
headers = {"Authorization": f"Basic {credentials}", "Accept": "text/plain"}
request = urllib.request.Request("http://worker:5001/metrics", headers=headers)
print(urllib.request.urlopen(request, timeout=10).read().decode())
"""
    assert "\norder_service_orders_claimed_total " in stack.run_in_app(asked)


def test_workers_process_and_the_web_does_not(stack: Stack, client: StackClient) -> None:
    stack.compose("up", "-d", "--no-deps", "--scale", "worker=2", "worker")
    workers = {container[:12] for container in stack.containers("worker")}
    assert len(workers) == 2
    seen: set[str] = set()

    def both_work() -> bool:
        assert client.post(order_body(next(ORDER_IDS))).status == 201
        rows = stack.query("SELECT lease_owner FROM orders WHERE lease_owner IS NOT NULL")
        seen.update(owner.partition(":")[0] for owner in rows.stdout.split())
        return seen >= workers

    wait_until(both_work, 60, "orders in both workers", every=0.1)
    assert seen == workers
    last = client.get("/orders?limit=1").json()["orders"][0]["order_id"]
    wait_until(
        lambda: client.get(f"/orders/{last}").json()["status"] == "Completed", 60, "its end", 0.2
    )


def test_prometheus_asks_each_container_by_itself_as_a_client_of_its_own(
    stack: Stack, client: StackClient
) -> None:
    file = stack.checkout / "deploy" / "monitoring" / "prometheus" / "prometheus.yml"
    file.write_text(file.read_text().replace(": 15s", ": 1s").replace(": 10s", ": 1s"))
    two = ("--scale", "app=2", "--scale", "worker=1")
    stack.compose("up", "-d", "--no-deps", "--wait", *two, "app", "worker", "prometheus")
    prometheus = Prometheus(stack.prometheus_port)

    def up() -> dict[str, float]:
        return prometheus.query('sum by (role) (up{job="order-service"})')

    all_up = {"role=app": 2.0, "role=worker": 1.0}
    wait_until(lambda: up() == all_up, 60, "three containers", every=0.5)
    # Nothing of it is asked through nginx, whose log would have it.
    assert not stack.accesses("path", "/metrics")
    posts = 'sum(order_service_http_requests_total{method="POST",code="201"})'
    before = prometheus.query(posts)[""]
    for _ in range(5):
        assert client.post(order_body(next(ORDER_IDS))).status == 201
    wait_until(lambda: prometheus.query(posts)[""] == before + 5, 30, "five requests", every=0.5)
    threads = prometheus.query("sum by (role) (order_service_processor_threads)")
    assert threads == {"role=app": 0, "role=worker": 8}
    described = stack.inspect("prometheus")
    host = described["HostConfig"]
    assert described["Config"]["User"] == "65534:65534"
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
    [[binding]] = host["PortBindings"].values()
    assert binding["HostIp"] == "127.0.0.1"
    stack.compose("up", "-d", "--no-deps", "--scale", "app=1", "app")

    def is_settled() -> bool:
        """Return whether nginx has forgotten the container that went."""
        return {client.get("/ping").status for _ in range(4)} == {200}

    wait_until(is_settled, 30, "answers of the container that stays", every=1.0)


def test_it_is_published_on_that_address_only(stack: Stack, client: StackClient) -> None:
    assert client.get("/ping").status == 200
    for port in (stack.http_port, stack.https_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_another_than_a_loopback_address_ends_the_development_password(stack: Stack) -> None:
    # `secrets` alone, and in volumes of its own: nothing is published.
    public = Stack(stack.checkout, RELEASE=stack.project, BIND_ADDRESS="0.0.0.0")  # noqa: S104
    try:
        said = public.run("secrets").stdout
        assert "docker compose exec app cat /run/secrets/auth_password" in said
        files = "cat /volumes/service/app_env /volumes/service/auth_password"
        made = public.run("secrets", "sh", "-c", files).stdout
    finally:
        public.close()
    assert made.startswith("production")
    assert "securepassword" not in made
    assert made.removeprefix("production") not in said


def test_plain_http_serves_everything(stack: Stack) -> None:
    plain = urllib3.HTTPConnectionPool(stack.host, stack.http_port, retries=False, timeout=30)
    order_id = next(ORDER_IDS)
    answer = plain.request("POST", "/orders", json=order_body(order_id), headers=AUTHORIZATION)
    assert (answer.status, answer.json()["order_id"]) == (201, order_id)
    assert plain.request("GET", "/healthz").status == 404


@pytest.fixture
def curl(stack: Stack) -> Callable[..., Counter[str]]:
    """Ask many times from another address of nginx's own container, which is another client."""

    def asked(address: str, path: str, *options: str) -> Counter[str]:
        run = stack.try_compose(
            *("exec", "-T", "nginx", "curl", "--silent", "--insecure", "--output", "/dev/null"),
            *("--write-out", "%{http_code} %{content_type} %header{retry-after}\n"),
            *("--interface", address, *options, f"https://localhost:8443{path}"),
        )
        assert run.returncode == 0, run.stderr
        return Counter(line.strip() for line in run.stdout.splitlines())

    return asked


def test_too_many_requests_are_429_in_json_for_one_client(
    curl: Callable[..., Counter[str]], client: StackClient
) -> None:
    answers = curl("127.0.0.10", "/ping?[1-400]", "--parallel", "--parallel-max", "4")
    assert set(answers) == {"200 application/json", "429 application/json 1"}
    assert answers["200 application/json"] > 20
    assert client.get("/ping").status == 200


def test_wrong_credentials_are_limited_harder(
    curl: Callable[..., Counter[str]], client: StackClient
) -> None:
    wrong = curl("127.0.0.11", "/orders/[1-7]", "--user", "admin:wrong")
    assert wrong == {"401 application/json": 5, "429 application/json 1": 2}
    # Else a guess that is right would stand out.
    right = curl("127.0.0.11", "/orders", "--user", "admin:securepassword")
    assert right == {"429 application/json 1": 1}
    assert client.get("/orders").status == 200


def test_too_many_connections_are_429(stack: Stack, client: StackClient) -> None:
    unfinished = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    with ExitStack() as opened:
        held = []
        for _ in range(MOST_CONNECTIONS + 1):
            connection = socket.create_connection((stack.host, stack.http_port), 10)
            held.append(opened.enter_context(connection))
            connection.sendall(unfinished)
        # The others wait for the rest of their bodies.
        answered = wait_until(lambda: select.select(held, [], [], 0)[0], 30, "a refusal")
        assert answered[0].recv(65536).startswith(b"HTTP/1.1 429 ")
    wait_until(lambda: client.get("/ping").status == 200, 30, "an answer again", every=0.2)


def test_the_certificate_has_the_names(stack: Stack) -> None:
    pem = ssl.get_server_certificate((stack.host, stack.https_port), timeout=10)
    names = authority.names_of(x509.load_pem_x509_certificate(pem.encode()))
    assert names == {"localhost", "127.0.0.1", "::1", "orders.example", "127.0.0.2"}


def test_a_brought_certificate_that_is_trusted_is_served_with_hsts(stack: Stack) -> None:
    folder = stack.checkout / "deploy" / "certs" / "own"
    public = authority.make()
    chain, key = public.issue(["orders.example", stack.host])
    (folder / "fullchain.pem").write_bytes(chain)
    (folder / "privkey.pem").write_bytes(key)
    roots = folder / "roots.pem"
    roots.write_bytes(public.certificate_pem)
    assert "with HSTS" in stack.run("-e", "SSL_CERT_FILE=/run/own/roots.pem", "certificates").stdout
    stack.compose("kill", "--signal", "HUP", "nginx")

    def strict() -> Mapping[str, str] | None:
        # For a moment old processes answer, too; each look is a new connection.
        try:
            headers = StackClient(stack.https_port, roots, stack.host).get("/orders").headers
        except urllib3.exceptions.SSLError:
            return None
        return headers if "Strict-Transport-Security" in headers else None

    headers = wait_until(strict, 30, "HSTS", every=0.5)
    assert headers is not None
    assert headers["Strict-Transport-Security"] == "max-age=63072000"
    # Beside what each answer carries, nginx's own ones as well.
    by_nginx = StackClient(stack.https_port, roots, stack.host).get("/healthz").headers
    for one in (headers, by_nginx):
        assert one["Strict-Transport-Security"]
        assert one["X-Request-ID"]
        assert one["Cache-Control"] == "no-store"
        assert one["X-Content-Type-Options"] == "nosniff"
        assert one["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in one["Content-Security-Policy"]

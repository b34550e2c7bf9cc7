"""The whole contract through nginx, with a verified certificate, over HTTP/2."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.answers import FULL_FIELDS, UNAUTHORIZED
from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.service_process import AUTHORIZATION
from tests.support.stack import ORDER_IDS, Stack, StackClient

Answer = tuple[int, dict[str, str], Any]
Request = Callable[..., Answer]
JSON = "application/json"
# Within which all processors obey a pause.
OBEYED_SECONDS = 2
# What an order that was posted and processed leaves in the exposition.
FAMILIES = {
    "order_service_orders",
    "order_service_http_requests",
    "order_service_http_request_duration_seconds",
    "order_service_orders_claimed",
    "order_service_orders_finished",
    "order_service_handler_duration_seconds",
}


def curl(stack: Stack, version: str, method: str, path: str, *arguments: str) -> Answer:
    """Ask with curl, which fails unless the server speaks the version and is verified."""
    run = subprocess.run(
        [
            "curl", "--silent", "--show-error", "--include", f"--http{version}", "--max-time", "30",
            "--cacert", str(stack.ca), "--request", method, *arguments,
            f"https://{stack.host}:{stack.https_port}{path}",
        ],
        capture_output=True,
        check=True,
        text=True,
    )  # fmt: skip
    head, _, body = run.stdout.replace("\r\n", "\n").partition("\n\n")
    status_line, *lines = head.splitlines()
    assert status_line.startswith(f"HTTP/{version}"), status_line
    headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    assert headers["content-type"] == JSON, run.stdout
    assert len(headers["x-request-id"]) >= 1
    return int(status_line.split()[1]), headers, json.loads(body)


@pytest.fixture
def version(request: pytest.FixtureRequest) -> str:
    """The version of HTTP that is spoken: the newest, unless a test names others."""
    chosen: str = getattr(request, "param", "2")
    return chosen


@pytest.fixture
def ask(version: str, stack: Stack) -> Request:
    assert shutil.which("curl"), "curl is missing; install it"

    def asked(method: str, path: str, *arguments: str, credentials: str | None = None) -> Answer:
        known = f"admin:{stack.password}" if credentials is None else credentials
        authorized = ["--user", known] if known else []
        return curl(stack, version, method, path, *authorized, *arguments)

    return asked


@pytest.fixture
def post(ask: Request) -> Request:
    def posted(body: object, *arguments: str) -> Answer:
        text = body if isinstance(body, str) else json.dumps(body)
        sent = ["--header", f"Content-Type: {JSON}", "--data-binary", text, *arguments]
        return ask("POST", "/orders", *sent)

    return posted


def test_ping_needs_no_credentials(ask: Request) -> None:
    assert ask("GET", "/ping", credentials="")[::2] == (200, {"message": "success"})


@pytest.mark.parametrize("version", ["1.1", "2"], indirect=True)
def test_an_order_is_accepted_processed_and_shown(ask: Request, post: Request) -> None:
    order_id = next(ORDER_IDS)
    status, headers, body = post(order_body(order_id))
    assert (status, body) == (201, {"message": "Order received", "order_id": order_id})
    assert headers["location"] == f"/orders/{order_id}"

    status_path, full_path = f"/orders/{order_id}", f"/orders/{order_id}?view=full"
    wait_until(lambda: ask("GET", status_path)[2]["status"] == "Completed", 20, "completion")
    assert ask("GET", status_path)[::2] == (200, {"order_id": order_id, "status": "Completed"})
    full = ask("GET", full_path)[2]
    assert set(full) == FULL_FIELDS
    assert full.items() >= order_body(order_id).items()
    assert full["attempts"] == 1

    assert post(order_body(order_id))[::2] == (
        409,
        {"error": "Duplicate order_id. This order already exists."},
    )


def test_mistakes_are_named(ask: Request, post: Request) -> None:
    order = order_body(next(ORDER_IDS))
    del order["user_id"]
    missing = {"error": {"user_id": ["Missing data for required field."]}}
    assert post(order)[::2] == (400, missing)
    for body in ("{", "[]", "NaN"):
        status, _, answer = post(body)
        assert status == 400
        assert isinstance(answer["error"], str)
    assert ask("POST", "/orders", "--data-binary", "{}")[0] == 415
    assert ask("GET", "/orders/999999999")[::2] == (404, {"error": "Order not found"})
    assert ask("DELETE", "/orders/1")[0] == 405


def test_each_thing_has_one_spelling(ask: Request, post: Request) -> None:
    """The service says so itself: nginx passes all of it on."""
    order_id = next(ORDER_IDS)
    assert post(order_body(order_id))[0] == 201
    assert ask("GET", f"/orders/{order_id}")[0] == 200
    for path in (f"/orders/0{order_id}", f"//orders/{order_id}", "//readyz", "//healthz"):
        assert ask("GET", path)[0] == 404, path
    status, _, body = ask("GET", "/orders?limit=1&limit=2")
    assert (status, body) == (400, {"error": {"limit": ["Given more than once."]}})
    compressed = post(order_body(order_id), "--header", "Content-Encoding: gzip")
    assert (compressed[0], compressed[1]["accept-encoding"]) == (415, "identity")


def test_credentials_are_needed(ask: Request) -> None:
    for credentials in ("", "admin:wrong"):
        status, headers, body = ask("GET", "/orders", credentials=credentials)
        assert (status, body) == (401, UNAUTHORIZED)
        assert headers["www-authenticate"].startswith("basic")


def test_lists_are_paged(ask: Request, post: Request) -> None:
    user_id = next(ORDER_IDS)
    posted = [next(ORDER_IDS) for _ in range(3)]
    for order_id in posted:
        post(order_body(order_id, user_id=user_id))
    first = ask("GET", f"/orders?user_id={user_id}&limit=2")[2]
    second = ask("GET", f"/orders?user_id={user_id}&limit=2&after={first['next']}")[2]
    seen = [order["order_id"] for order in first["orders"] + second["orders"]]
    assert seen == posted[::-1]
    assert second["next"] is None


def test_an_idempotency_key_replays_the_first_answer(post: Request) -> None:
    order_id = next(ORDER_IDS)
    key = ["--header", f"Idempotency-Key: key-{order_id}"]
    first, again = post(order_body(order_id), *key), post(order_body(order_id), *key)
    assert first[0] == again[0] == 201
    assert again[1]["idempotent-replayed"] == "true"
    assert post(order_body(order_id, user_id=7), *key)[0] == 422


def test_operators_pause_cancel_and_resume(ask: Request, post: Request) -> None:
    user_id = next(ORDER_IDS)

    def accepted() -> int:
        order_id = next(ORDER_IDS)
        assert post(order_body(order_id, user_id=user_id))[0] == 201
        return order_id

    def status(order_id: int) -> str:
        found: str = ask("GET", f"/orders/{order_id}")[2]["status"]
        return found

    send = ["--header", f"Content-Type: {JSON}", "--data-binary"]
    paused = ask("POST", "/processing/pause", *send, '{"reason": "the receiver moves"}')
    try:
        assert (paused[0], paused[2]["reason"]) == (200, "the receiver moves")
        # All processes obey within 2 s. One of several may still take what another leaves alone.
        time.sleep(2 * OBEYED_SECONDS)
        first, second = accepted(), accepted()
        answer = ask("POST", f"/orders/{first}/cancel")
        assert answer[::2] == (200, {"order_id": first, "status": "Cancelled"})
        assert ask("GET", f"/orders/{first}/attempts")[::2] == (200, {"attempts": []})

        wanted = {"action": "cancel", "filter": {"user_id": user_id, "status": "Pending"}}
        code, headers, begun = ask("POST", "/operations", *send, json.dumps(wanted))
        path = headers["location"]
        assert (code, path) == (202, f"/operations/{begun['operation_id']}")
        wait_until(lambda: ask("GET", path)[2]["state"] == "Completed", 20, "the operation's end")
        assert ask("GET", path)[2]["changed"] >= 1
        assert status(second) == "Cancelled"
        newest = ask("GET", "/operations?limit=1")[2]["operations"][0]
        assert newest["operation_id"] == begun["operation_id"]
        assert ask("GET", "/processing")[2]["paused"] is True
    finally:
        resumed = ask("POST", "/processing/resume")
    assert (resumed[0], resumed[2]["paused"]) == (200, False)
    last = accepted()
    wait_until(lambda: status(last) == "Completed", 20, "completion")


def test_metrics_count_exactly(stack: Stack, ask: Request) -> None:
    figures = ask("GET", "/metrics")[2]
    states = ("pending", "processing", "completed", "failed", "cancelled")
    assert figures["total_orders"] == sum(figures[f"{state}_orders"] for state in states)
    assert figures["total_orders"] == int(stack.query("SELECT COUNT(*) FROM orders").stdout)


def test_prometheus_gets_the_figures_and_the_services_own(client: StackClient) -> None:
    def scrape() -> dict[str, Metric]:
        answer = client.get("/metrics", accept="text/plain;version=0.0.4")
        assert answer.headers["Content-Type"].startswith("text/plain")
        found = text_string_to_metric_families(answer.data.decode())
        return {family.name: family for family in found}

    assert client.post(order_body(next(ORDER_IDS))).status == 201
    wait_until(lambda: "order_service_orders_finished" in scrape(), 20, "the order's end", 0.2)
    families = scrape()
    assert families.keys() >= FAMILIES
    posted = {"method": "POST", "route": "/orders", "code": "201"}
    samples = families["order_service_http_requests"].samples
    assert any(one.labels == posted and one.value >= 1 for one in samples)


def test_a_sane_request_id_is_kept_and_logged(stack: Stack, client: StackClient) -> None:
    answer = client.get("/orders/1", **{"X-Request-ID": "stack-request-1"})
    assert answer.headers.getlist("X-Request-ID") == ["stack-request-1"]
    lines = [json.loads(line) for line in stack.access_log() if "stack-request-1" in line]
    assert [(line["path"], line["status"], line["upstream_status"]) for line in lines] == [
        ("/orders/1", "404", "404")
    ]
    assert float(lines[0]["upstream_seconds"]) >= 0
    assert "stack-request-1" in stack.logs("app")
    other = client.get("/ping", **{"X-Request-ID": "in <sane>"})
    assert "<" not in other.headers["X-Request-ID"]


def test_a_trace_goes_on_to_the_service_and_is_logged(stack: Stack, client: StackClient) -> None:
    trace_id = secrets.token_hex(16)
    client.get("/orders/1", traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-01")
    assert [line["path"] for line in stack.accesses("trace_id", trace_id)] == ["/orders/1"]
    assert trace_id in stack.logs("app")
    client.get("/orders/1", traceparent=f"01-{trace_id}-{secrets.token_hex(8)}-01")
    assert len(stack.accesses("trace_id", trace_id)) == 1


def test_plain_http_answers_ping_and_redirects_the_rest(stack: Stack) -> None:
    plain = urllib3.HTTPConnectionPool(stack.host, stack.http_port, retries=False, timeout=10)
    assert plain.request("GET", "/ping").json() == {"message": "success"}
    answer = plain.request("POST", "/orders?a=b", headers=AUTHORIZATION, redirect=False)
    assert answer.status == 308
    port = "" if stack.https_port == 443 else f":{stack.https_port}"
    assert answer.headers["Location"] == f"https://{stack.host}{port}/orders?a=b"
    assert answer.headers["Content-Type"] == JSON
    assert "error" in answer.json()


def test_what_is_for_the_stack_itself_answers_only_inside(
    stack: Stack, client: StackClient
) -> None:
    for path in ("/healthz", "/readyz"):
        answer = client.get(path)
        assert (answer.status, answer.json()) == (404, {"error": "Not found"})
        script = (
            f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:5000{path}').status)"
        )
        assert stack.run_in_app(script) == "200"

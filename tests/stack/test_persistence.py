"""Starting again, and going down and up, keep everything; and a dump has all of it."""

from __future__ import annotations

import hashlib
import re
import shlex
from typing import Any

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.service_process import REPOSITORY
from tests.support.stack import ONE_SHOTS, ORDER_IDS, SERVERS, Stack

KEPT = (
    ("mysql", "/run/secrets"),
    ("app", "/run/secrets"),
    ("nginx", "/etc/nginx/certificates"),
)


def fingerprints(stack: Stack) -> dict[str, str]:
    scripts = {service: f"cd {folder} && grep -r '' . | sort" for service, folder in KEPT}
    contents = {service: stack.shell(service, script).stdout for service, script in scripts.items()}
    assert all(len(text) > 50 for text in contents.values()), "nothing to compare"
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in contents.items()}


def processes(stack: Stack) -> dict[str, Any]:
    containers = {name: stack.inspect(name) for name in SERVERS}
    return {name: (one["Id"], one["State"]["StartedAt"]) for name, one in containers.items()}


def definitions(stack: Stack) -> str:
    """Return how often tables and accounts were defined since the database's start."""
    return stack.query(
        "SHOW GLOBAL STATUS WHERE Variable_name RLIKE '^Com_(create|alter|drop|grant|revoke)'"
    ).stdout


def post(stack: Stack) -> int:
    """Post an order, and wait until nothing is to be done any more."""
    order_id = next(ORDER_IDS)
    client = stack.client()
    assert client.post(order_body(order_id)).status == 201

    def idle() -> bool:
        figures = client.get("/metrics").json()
        return not figures["pending_orders"] + figures["processing_orders"]

    wait_until(idle, 60, "the end of all orders", every=0.2)
    return order_id


def test_a_dump_as_documented_has_every_order(stack: Stack) -> None:
    order_id = post(stack)
    readme = (REPOSITORY / "README.md").read_text()
    documented = re.findall(r"`docker compose (exec mysql mysqldump .*?)`", readme)
    assert len(documented) == 1
    dump = stack.try_compose(*shlex.split(documented[0]))
    assert (dump.returncode, dump.stderr) == (0, "")
    for table in ("alembic_version", "idempotency_keys", "order_totals", "orders"):
        assert f"CREATE TABLE `{table}`" in dump.stdout
    assert f",{order_id}," in dump.stdout
    assert "-- Dump completed" in dump.stdout


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    post(stack)
    before = fingerprints(stack), processes(stack), definitions(stack)
    assert re.search(r"^Com_create_table\s+[1-9]", before[2], re.MULTILINE)
    stack.up()
    # No migration ran again either.
    assert (fingerprints(stack), processes(stack), definitions(stack)) == before
    for name in ONE_SHOTS:
        assert stack.inspect(name)["State"]["ExitCode"] == 0


def test_down_and_up_keep_data_secrets_and_certificate(stack: Stack) -> None:
    order_id = post(stack)
    before = fingerprints(stack)
    stack.down()
    assert not stack.containers("app")
    stack.up()
    assert fingerprints(stack) == before
    assert stack.client().get(f"/orders/{order_id}").status == 200
    assert stack.client().post(order_body(order_id)).status == 409

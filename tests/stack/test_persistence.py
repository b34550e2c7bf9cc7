"""Starting again, and going down and up, keep everything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.databases import order_body
from tests.support.stack import ONE_SHOTS, SERVERS, Stack, running_stack

KEPT = (
    ("mysql", "/run/secrets"),
    ("app", "/run/secrets"),
    ("nginx", "/etc/nginx/certificates"),
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("checkout")) as started:
        yield started


def fingerprints(stack: Stack) -> dict[str, str]:
    scripts = {service: f"cd {folder} && grep -r '' . | sort" for service, folder in KEPT}
    contents = {service: stack.shell(service, script).stdout for service, script in scripts.items()}
    assert all(len(text) > 50 for text in contents.values()), "nothing to compare"
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in contents.items()}


def processes(stack: Stack) -> dict[str, Any]:
    containers = {name: stack.inspect(stack.containers(name)[0]) for name in SERVERS}
    return {name: (one["Id"], one["State"]["StartedAt"]) for name, one in containers.items()}


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    stack.client().post(order_body(1))
    before = fingerprints(stack), processes(stack)
    stack.up()
    assert (fingerprints(stack), processes(stack)) == before
    for name in ONE_SHOTS:
        assert stack.inspect(stack.containers(name)[0])["State"]["ExitCode"] == 0


def test_down_and_up_keep_data_secrets_and_certificate(stack: Stack) -> None:
    stack.client().post(order_body(2))
    before = fingerprints(stack)
    stack.down()
    assert not stack.containers("app")
    stack.up()
    assert fingerprints(stack) == before
    assert stack.client().get("/orders/2").status == 200
    assert stack.client().post(order_body(2)).status == 409

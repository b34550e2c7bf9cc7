"""The stack that all tests of this layer share; those that stop parts of it start them again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import Stack, StackClient, running_stack


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with settings of their own last: each of them has the stack changed once."""
    places = [at for at, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    chosen = sorted((items[at] for at in places), key=lambda item: settings_of(item) != {})
    for at, item in zip(places, chosen, strict=True):
        items[at] = item


def settings_of(item: pytest.Item) -> dict[str, str]:
    """Return what the test's file wants to be set."""
    module = item.getparent(pytest.Module)
    settings: dict[str, str] = getattr(module and module.obj, "SETTINGS", {})
    return settings


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack from a fresh checkout, with nothing set but its name and its ports."""
    with running_stack(tmp_path_factory.mktemp("checkout")) as started:
        yield started


@pytest.fixture(scope="module")
def stack(shared_stack: Stack, request: pytest.FixtureRequest) -> Stack:
    """The shared stack, running with the SETTINGS of the test's file."""
    shared_stack.configure(**getattr(request.module, "SETTINGS", {}))
    return shared_stack


@pytest.fixture(scope="module")
def client(stack: Stack) -> StackClient:
    """A client that verifies the certificate."""
    return stack.client()

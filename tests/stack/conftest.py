"""The stack that all tests of this layer share; those that stop parts of it start them again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stack import Stack, StackClient, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack from a fresh checkout, with nothing set but its name and its ports."""
    with running_stack(tmp_path_factory.mktemp("checkout")) as started:
        yield started


@pytest.fixture(scope="session")
def client(stack: Stack) -> StackClient:
    """A client that verifies the certificate."""
    return stack.client()

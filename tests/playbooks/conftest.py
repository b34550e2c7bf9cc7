"""The control node of all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.cases import Cases
from tests.support.control_fixtures import NewCheckout


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory, new_checkout: NewCheckout) -> Iterator[Cases]:
    """Runs a playbook for many cases at once."""
    with closing(Cases(tmp_path_factory.mktemp("control"), new_checkout())) as control:
        yield control

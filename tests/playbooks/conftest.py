"""The control node of all tests here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.support.aws_account import AwsAccount
from tests.support.aws_operator import Operator
from tests.support.cases import Cases
from tests.support.control_fixtures import NewCheckout


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory, new_checkout: NewCheckout) -> Iterator[Cases]:
    """Runs a playbook for many cases at once."""
    with closing(Cases(tmp_path_factory.mktemp("control"), new_checkout())) as control:
        yield control


@pytest.fixture(scope="module")
def new_operator(
    tmp_path_factory: pytest.TempPathFactory, new_checkout: NewCheckout
) -> Iterator[Callable[..., Operator]]:
    """Makes operators."""
    made = []

    def make(environment: dict[str, str]) -> Operator:
        made.append(Operator(tmp_path_factory.mktemp("operator"), new_checkout, environment))
        return made[-1]

    yield make
    for operator in made:
        operator.close()


@pytest.fixture(scope="module")
def account() -> Iterator[AwsAccount]:
    """AWS."""
    with closing(AwsAccount()) as made:
        yield made

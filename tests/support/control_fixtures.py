"""Checkouts and control nodes for all that runs playbooks, and the report of their times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.checkout import Checkout
from tests.support.control_node import ControlNode, PlaybookRun
from tests.support.remote_host import RemoteHost

_runs = pytest.StashKey[list[PlaybookRun]]()

NewCheckout = Callable[[], Checkout]
NewControlNode = Callable[..., ControlNode]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the time of each playbook by step."""
    for run in config.stash.get(_runs, []):
        terminalreporter.write_line(run.report())


@pytest.fixture(scope="session")
def new_checkout(tmp_path_factory: pytest.TempPathFactory) -> NewCheckout:
    """Makes checkouts whose commits are releases."""
    return lambda: Checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def new_control_node(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[NewControlNode]:
    """Makes control nodes: `new_control_node(checkout, host, **inventory variables)`."""
    runs = pytestconfig.stash.setdefault(_runs, [])
    with ExitStack() as stack:

        def make(checkout: Checkout, *hosts: RemoteHost, **variables: Any) -> ControlNode:
            node = ControlNode(tmp_path_factory.mktemp("control"), checkout, *hosts, **variables)
            node.runs = runs
            stack.callback(node.close)
            return node

        yield make

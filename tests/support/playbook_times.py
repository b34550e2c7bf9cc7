"""The time that each playbook took by step, printed at the end, whichever process ran it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.control_node import PlaybookRun

RUNS = pytest.StashKey[list[PlaybookRun]]()
_reports = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with none."""
    config.stash[RUNS] = []
    config.stash[_reports] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand this process's reports over to the one that prints."""
    reports = [run.report() for run in session.config.stash[RUNS]]
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["playbook_times"] = reports
    else:
        session.config.stash[_reports] += reports


def pytest_testnodedown(node: Any) -> None:
    """Take over the reports of a process of pytest-xdist's."""
    node.config.stash[_reports] += getattr(node, "workeroutput", {}).get("playbook_times", [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the reports."""
    for report in config.stash[_reports]:
        terminalreporter.write_line(report)

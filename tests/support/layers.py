"""Which tests are run: what is left out is said, and never in CI."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mysql_server import docker_available

# Fast ones first, and fresh hosts last of all.
ORDER = ("unit", "integration", "lab", "e2e")
OF_CONTAINERS = ("lab", "e2e")
_left_out = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--fast`."""
    parser.addoption("--fast", action="store_true", help="leave out the tests that take minutes")


def layer(item: pytest.Item) -> str:
    """Return the folder below tests/ that the test is in."""
    return item.path.relative_to(Path(__file__).parent.parent).parts[0]


def is_slow(item: pytest.Item) -> bool:
    """Tell whether the test is of those that take minutes."""
    return layer(item) in OF_CONTAINERS or item.get_closest_marker("faults") is not None


def needs_engine(item: pytest.Item) -> bool:
    """Tell whether the test needs the lab's Docker engine."""
    return layer(item) in OF_CONTAINERS or item.get_closest_marker("mysql") is not None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put fast layers first, and leave out what is slow, if asked to, and what needs an engine
    where there is none."""
    items.sort(
        key=lambda item: (
            ORDER.index(layer(item)),
            item.get_closest_marker("deploy") is not None,
            item.get_closest_marker("faults") is not None,
        )
    )
    config.stash[_left_out] = Counter()
    if config.getoption("--fast"):
        _leave_out(config, items, is_slow, "CI=true make test runs them, too")
    if any(map(needs_engine, items)) and (reason := docker_available()):
        if os.environ.get("CI"):
            raise pytest.UsageError(f"CI leaves no test out, but {reason}")
        _leave_out(config, items, needs_engine, reason)


def _leave_out(
    config: pytest.Config,
    items: list[pytest.Item],
    which: Callable[[pytest.Item], bool],
    reason: str,
) -> None:
    missing = [item for item in items if which(item)]
    items[:] = [item for item in items if not which(item)]
    config.hook.pytest_deselected(items=missing)
    config.stash[_left_out].update(f"{_kind(item)}: {reason}" for item in missing)


def _kind(item: pytest.Item) -> str:
    for marker, kind in (("deploy", "deployments"), ("faults", "faults"), ("mysql", "MySQL")):
        if item.get_closest_marker(marker):
            return kind
    return layer(item)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say plainly what was left out and what it needs."""
    for text, number in config.stash.get(_left_out, Counter()).items():
        terminalreporter.write_line(f"LEFT OUT {number} tests of {text}", yellow=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skipped test is a test left out, which CI does not accept."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("FAILED: CI accepts no skipped test", red=True)

"""Which tests are run: what is left out is said, and the gate leaves out nothing that it promises.

Markers say what a test needs and costs. What a whole folder needs stands here, once.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.support.mysql_server import docker_available

TESTS = Path(__file__).parent.parent
# In the order in which they are run: the cheapest first.
FOLDERS: dict[str, tuple[str, ...]] = {
    "unit": (),
    "bench": (),
    "playbooks": ("slow",),
    "service": (),
    "programs": ("engine", "slow"),
    "lab": ("engine", "slow", "extended"),
    "stack": ("engine", "slow"),
    "hosts": ("engine", "slow", "hosts"),
    "hosts/extended": ("engine", "slow", "hosts", "extended"),
}
COMMANDS = {"slow": "CI=true make test", "extended": "make extended"}
SETS = {
    "fast": lambda item: not _has(item, "slow", "extended"),
    "gate": lambda item: not _has(item, "extended"),
    "extended": lambda item: _has(item, "extended"),
}
_left_out = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--set`."""
    parser.addoption("--set", choices=SETS, help="run only these; without it, all that are named")


def _has(item: pytest.Item, *markers: str) -> bool:
    return any(item.get_closest_marker(marker) for marker in markers)


def _folder(item: pytest.Item) -> str:
    """Return the deepest folder of the table that the test lies in; the first for any other."""
    above = [str(one.relative_to(TESTS)) for one in item.path.parents if TESTS in one.parents]
    return next((one for one in above if one in FOLDERS), "unit")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what a folder needs, put cheap folders first, and leave out what is not asked for, or
    cannot be run here."""
    for item in items:
        for marker in FOLDERS[_folder(item)]:
            item.add_marker(marker)
    order = list(FOLDERS)
    items.sort(key=lambda item: (order.index(_folder(item)), _has(item, "slow")))
    left_out = config.stash.setdefault(_left_out, Counter())
    chosen = SETS.get(config.getoption("--set"), lambda _: True)
    missing = [item for item in items if not chosen(item)]
    for item in missing:
        if config.getoption("--set") != "extended":
            kind = "extended" if _has(item, "extended") else "slow"
            left_out[f"{_folder(item)}: {COMMANDS[kind]}"] += 1
    kept = [item for item in items if chosen(item)]
    if any(_has(item, "mysql", "engine") for item in kept) and (reason := docker_available()):
        if os.environ.get("CI"):
            raise pytest.UsageError(f"CI leaves no test out, but {reason}")
        without = [item for item in kept if _has(item, "mysql", "engine")]
        left_out.update(f"{_folder(item)}, on MySQL: {reason}" for item in without)
        missing += without
        kept = [item for item in kept if not _has(item, "mysql", "engine")]
    config.hook.pytest_deselected(items=missing)
    items[:] = kept


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say plainly what was left out and the command for it."""
    for text, number in config.stash.get(_left_out, Counter()).items():
        terminalreporter.write_line(f"NOT RUN: {number} tests of {text}", yellow=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skipped test is a test left out, which CI does not accept."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("FAILED: CI accepts no skipped test", red=True)

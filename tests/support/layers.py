"""Which tests are run: what is left out is said, and the gate leaves out nothing that it promises.

Markers say what a test needs and costs. What a whole folder needs stands here, once.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.mysql_server import docker_available

TESTS = Path(__file__).parent.parent
# In the order in which they are run: the cheapest first.
FOLDERS: dict[str, tuple[str, ...]] = {
    "unit": (),
    "bench": (),
    "playbooks": (),
    "service": (),
    "browser": ("browser", "slow"),
    "programs": ("engine", "slow"),
    "lab": ("engine", "slow", "extended"),
    "stack": ("engine", "slow"),
    "hosts": ("engine", "slow", "hosts"),
    "hosts/extended": ("engine", "slow", "hosts", "extended"),
}
BROWSER = "chromium"
COMMANDS = {"slow": "CI=true make test", "extended": "make extended"}
SETS = ("fast", "gate", "extended")
LEFT_OUT = "left_out"
_left_out = pytest.StashKey[Counter[str]]()


def browser_missing() -> str | None:
    """Tell why no browser can be started here, or None if one can."""
    return None if shutil.which(BROWSER) else f"there is no {BROWSER}: run `make lab`"


# What tests with one of the markers need: why it is missing, if it is.
NEEDS: tuple[tuple[tuple[str, ...], Callable[[], str | None], str], ...] = (
    (("mysql", "engine"), docker_available, "on an engine"),
    (("browser",), browser_missing, "in a browser"),
)


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
    config.stash[_left_out] = Counter()
    chosen: str | None = config.getoption("--set")
    _leave_out(config, items, {i: _why_not(i, chosen) for i in items})
    for markers, why_missing, where in NEEDS:
        needy = [item for item in items if _has(item, *markers)]
        if not needy or not (reason := why_missing()):
            continue
        if os.environ.get("CI"):
            raise pytest.UsageError(f"CI leaves no test out, but {reason}")
        _leave_out(config, items, dict.fromkeys(needy, f"{where}: {reason}"))


def _why_not(item: pytest.Item, chosen: str | None) -> str:
    """Return the command that runs a test which is not of the set; nothing for one that is."""
    if chosen in ("fast", "gate") and _has(item, "extended"):
        return "make extended"
    if chosen == "fast" and _has(item, "slow"):
        return "CI=true make test"
    if chosen == "extended" and not _has(item, "extended"):
        return "CI=true make test"
    return ""


def _leave_out(
    config: pytest.Config, items: list[pytest.Item], reasons: dict[pytest.Item, str]
) -> None:
    missing = [item for item in items if reasons.get(item)]
    items[:] = [item for item in items if not reasons.get(item)]
    config.hook.pytest_deselected(items=missing)
    config.stash[_left_out].update(f"{_folder(item)}: {reasons[item]}" for item in missing)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say plainly what was left out and the command for it."""
    for text, number in config.stash.get(_left_out, Counter()).items():
        terminalreporter.write_line(f"NOT RUN: {number} tests of {text}", yellow=True)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process of several (pytest-xdist) has left out: each leaves out the same."""
    left_out = getattr(node, "workeroutput", {}).get(LEFT_OUT, {})
    node.config.stash[_left_out] = Counter(left_out)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skipped test is a test left out, which CI does not accept."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[LEFT_OUT] = dict(session.config.stash.get(_left_out, {}))
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("FAILED: CI accepts no skipped test", red=True)

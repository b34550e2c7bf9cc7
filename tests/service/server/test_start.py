"""Invalid configuration stops every program with one line that names the variable.

What each variable allows, and what a handler has to be, is in unit/service.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.service_process import Process

SECONDS = 60.0
GUNICORN = ["gunicorn", "--config", "service/server/gunicorn.conf.py"]
STATS = ["flask", "--app", "wsgi", "orders", "stats"]
PROCESS = ["flask", "process-orders"]
KINDS = "tests.support.handler_kinds"


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (GUNICORN, {"PORT": "abc"}, ["PORT", "'abc'", "1 to 65535"]),
        (STATS, {"PORT": "abc"}, ["PORT", "'abc'", "1 to 65535"]),
        (GUNICORN, {"ORDER_HANDLER": "no.such:one"}, ["ORDER_HANDLER", "no.such"]),
        (GUNICORN, {"ORDER_HANDLER": f"{KINDS}:generator"}, ["ORDER_HANDLER", "is a generator"]),
        (PROCESS, {"ORDER_HANDLER": "service.config:one"}, ["ORDER_HANDLER", "service.config"]),
        (PROCESS, {"ORDER_HANDLER": f"{KINDS}:AClass"}, ["ORDER_HANDLER", "is a class"]),
        (PROCESS, {"PROCESSOR_THREADS": "0"}, ["PROCESSOR_THREADS", "0"]),
        (STATS, {"DATABASE_URL": "sqlite:////dev/null/orders.db"}, ["DATABASE_URL"]),
    ],
    ids=[
        "server: variable",
        "command: variable",
        "server: handler",
        "server: a handler that would do nothing",
        "processor: handler",
        "processor: a handler that would do nothing",
        "processor: no threads",
        "command: database",
    ],
)
def test_one_line_and_nothing_left_behind(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], words: list[str]
) -> None:
    leftovers = tmp_path / "leftovers"
    leftovers.mkdir()
    given = {"DATABASE_URL": f"sqlite:///{tmp_path}/orders.db", "TMPDIR": str(leftovers)}
    with Process(arguments, tmp_path, given | environment).start() as process:
        assert process.popen.wait(SECONDS) != 0
        [line] = process.log.splitlines()
    assert all(word in line for word in words), line
    assert list(leftovers.iterdir()) == []

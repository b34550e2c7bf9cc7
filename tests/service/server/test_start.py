"""Invalid configuration stops every program with one line that names the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.service_process import Process

GUNICORN = ["gunicorn", "--config", "service/gunicorn.conf.py"]
STATS = ["flask", "--app", "wsgi", "orders", "stats"]
PROCESS = ["flask", "process-orders"]


def assert_one_line(
    directory: Path, arguments: list[str], environment: dict[str, str], *words: str
) -> None:
    with Process(arguments, directory, environment).start() as process:
        assert process.popen.wait(30) != 0
        lines = process.log.splitlines()
    assert len(lines) == 1, "\n".join(lines)
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.parametrize("arguments", [GUNICORN, STATS, ["flask", "db", "upgrade"]], ids=" ".join)
def test_a_bad_variable(tmp_path: Path, arguments: list[str]) -> None:
    environment = {"PORT": "abc"}
    assert_one_line(tmp_path, arguments, environment, "PORT", "'abc'", "1 to 65535")


def test_a_server_that_never_started_leaves_nothing_behind(tmp_path: Path) -> None:
    leftovers = tmp_path / "leftovers"
    leftovers.mkdir()
    environment = {"PORT": "abc", "TMPDIR": str(leftovers)}
    assert_one_line(tmp_path, GUNICORN, environment, "PORT")
    assert list(leftovers.iterdir()) == []


@pytest.mark.parametrize("arguments", [GUNICORN, PROCESS], ids=" ".join)
@pytest.mark.parametrize(
    "handler", ["nowhere.at_all:handle", "service.config:nothing", "service.config:PROJECT_ROOT"]
)
def test_a_handler_that_is_not_there(tmp_path: Path, arguments: list[str], handler: str) -> None:
    environment = {"ORDER_HANDLER": handler, "DATABASE_URL": f"sqlite:///{tmp_path}/orders.db"}
    assert_one_line(tmp_path, arguments, environment, "ORDER_HANDLER", handler.partition(":")[0])


def test_a_worker_without_threads(tmp_path: Path) -> None:
    environment = {"PROCESSOR_THREADS": "0", "DATABASE_URL": f"sqlite:///{tmp_path}/orders.db"}
    assert_one_line(tmp_path, PROCESS, environment, "PROCESSOR_THREADS", "0")


def test_a_sqlite_file_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path}/file/orders.db"}
    assert_one_line(tmp_path, STATS, environment, "DATABASE_URL")

"""Log lines: JSON in production, readable in development, each with its request's id."""

from __future__ import annotations

import copy
import json
import logging.config
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from service.config import Settings
from service.telemetry import request_id, tracing
from service.telemetry.logs import SPANS_SENDER, ReadableFormatter, logging_config

SECRET = "hunter2hunter2"


class Written:
    """What was written to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)

    def getvalue(self) -> str:
        return self._path.read_text()


Logged = Callable[[Settings], Written]


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Logged]:
    """Set logging up as the settings say, and give the stream that the lines go to."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def configure(settings: Settings) -> Written:
        stream = Written(tmp_path / "log")
        config = copy.deepcopy(logging_config(settings))
        config["handlers"]["stderr"]["descriptor"] = stream.descriptor
        logging.config.dictConfig(config)
        return stream

    yield configure
    root.handlers[:], root.level = before
    request_id.current.set(None)


def production() -> Settings:
    return Settings(app_env="production", auth_password=SECRET, release="1.2.3")


def lines(stream: Written) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_production_writes_json(logged: Logged) -> None:
    stream = logged(production())
    request_id.current.set("abc-123")
    logging.getLogger("service.x").warning("it is %s", "late", extra={"order_id": 2**63 - 1})
    [line] = lines(stream)
    assert (line["level"], line["message"], line["logger"]) == (
        "WARNING",
        "it is late",
        "service.x",
    )
    assert (line["request_id"], line["order_id"]) == ("abc-123", 2**63 - 1)
    assert line["release"] == "1.2.3"
    assert datetime.fromisoformat(line["time"]).tzinfo is not None


def test_lines_name_the_trace_that_they_are_written_in(logged: Logged) -> None:
    stream = logged(production())
    log = logging.getLogger("service.x")
    with tracing.within(f"00-{7:032x}-{8:016x}-01"):
        log.warning("in it")
        log.warning("of another", extra={"trace_id": f"{9:032x}"})
    log.warning("out of it")
    traces = [line.get("trace_id") for line in lines(stream)]
    assert traces == [f"{7:032x}", f"{9:032x}", None]


def test_a_collector_that_is_away_is_said_once_a_minute(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = logged(production())
    log = logging.getLogger(SPANS_SENDER)
    now = time.time()
    for seconds in (0, 1, 59, 61, 62, 300):
        monkeypatch.setattr(time, "time", lambda at=now + seconds: at)
        monkeypatch.setattr(time, "time_ns", lambda at=now + seconds: int(at * 1e9))
        log.warning("a try of several")
        log.error("the end of all tries, %d", seconds)
    said = [line["message"] for line in lines(stream)]
    assert said == [f"the end of all tries, {seconds}" for seconds in (0, 61, 300)]


@pytest.mark.parametrize(
    "text", ["two\nlines", '"quoted"', "é€😀", "\x1b[31m", "\x00", "\ud800", "\u2028"]
)
def test_production_writes_one_line_whatever_is_in_it(logged: Logged, text: str) -> None:
    stream = logged(production())
    logging.getLogger("service").info("said: %s", text, extra={"path": text})
    [line] = stream.getvalue().split("\n")[:-1]
    assert json.loads(line)["message"] == f"said: {text}"
    assert json.loads(line)["path"] == text


def test_production_keeps_tracebacks_in_the_line(logged: Logged) -> None:
    stream = logged(production())
    logging.getLogger("service").error("went wrong", exc_info=ValueError("boom"))
    [line] = lines(stream)
    assert "ValueError: boom" in line["exc_info"]


def test_development_is_readable(logged: Logged) -> None:
    stream = logged(Settings())
    request_id.current.set("abc-123")
    logging.getLogger("service.x").warning("it is late", extra={"order_id": 7, "attempt": 2})
    [line] = stream.getvalue().splitlines()
    assert "WARNING" in line
    assert line.endswith("service.x: it is late request_id=abc-123 order_id=7 attempt=2")


def test_development_shows_a_traceback_below_its_line(logged: Logged) -> None:
    stream = logged(Settings())
    extra = {"order_id": 7}
    logging.getLogger("service").error("went wrong", exc_info=ValueError("boom"), extra=extra)
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("went wrong order_id=7")
    assert rest[-1] == "ValueError: boom"


def test_a_path_cannot_forge_a_line(logged: Logged) -> None:
    stream = logged(Settings())
    path = "/x\n2026-01-01 00:00:00,000 ERROR service: forged"
    logging.getLogger("service.access").info("request", extra={"path": path, "status": 404})
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("settings", [Settings(), production()], ids=["development", "production"])
def test_without_a_request_there_is_no_id(logged: Logged, settings: Settings) -> None:
    stream = logged(settings)
    logging.getLogger("service").info("started")
    assert "request_id" not in stream.getvalue()


@pytest.mark.parametrize("settings", [Settings(), production()], ids=["development", "production"])
def test_gunicorns_own_lines_look_the_same(logged: Logged, settings: Settings) -> None:
    stream = logged(settings)
    logging.getLogger("gunicorn.error").info("Booting worker")
    logging.getLogger("gunicorn.access").info("GET /")
    [line] = stream.getvalue().splitlines()
    assert "Booting worker" in line


def test_the_level_is_the_settings(logged: Logged) -> None:
    stream = logged(Settings(log_level="ERROR"))
    logging.getLogger("service").warning("not this")
    logging.getLogger("service").error("this")
    assert "not this" not in stream.getvalue()
    assert "this" in stream.getvalue()


@pytest.mark.parametrize("env", ["development", "production"])
def test_logging_the_settings_shows_no_secret(logged: Logged, env: str) -> None:
    settings = Settings(app_env=env, auth_password=SECRET, webhook_secret=SECRET)
    stream = logged(settings)
    logging.getLogger("service").info("settings: %s %r", settings, settings)
    assert "settings: Settings(" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_a_message_stays_on_its_line_and_moves_no_cursor() -> None:
    record = logging.LogRecord(
        "one", logging.INFO, "", 1, "boom %s", ("\n2026 forged \x1b[2J",), None
    )
    line = ReadableFormatter("%(message)s").format(record)
    assert line.isprintable()
    assert "forged" in line

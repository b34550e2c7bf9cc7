"""The settings: what is refused, in one line that names the variable and holds no secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.config import ConfigError, Settings

SECRET = "hunter2hunter2"
MYSQL_FORM = "mysql+pymysql://user:password@host:port/database"
HOOK = "https://shop.example/hook"
PRODUCTION = {
    "APP_ENV": "production",
    "DATABASE_URL": f"mysql+pymysql://u:{SECRET}@h/d",
    "AUTH_USERNAME": "shop",
    "AUTH_PASSWORD": SECRET,
}
# Variable, a text that is not allowed, and words that say what is allowed.
INVALID = [
    ("APP_ENV", "Production", "development, production"),
    ("AUTH_USERNAME", "a:b", "without"),
    *[
        ("PORT", text, "1 to 65535")
        for text in ("0", "65536", "-1", "5000.0", "5_000", "\u0665", " 80", "9" * 5000)
    ],
    ("WEB_CONCURRENCY", "0", "1 to"),
    ("WEB_THREADS", "1", "to 512"),
    ("PROCESSOR_THREADS", "-1", "0 to"),
    *[("PROCESSOR_LEASE_SECONDS", text, "1 to") for text in ("0", "-1", "nan", "inf", "15s")],
    *[
        ("PROCESSOR_RETRY_DELAYS", text, "1s,30s,2m,5h")
        for text in ("1", "s", "-1s", "1s,", "1s;2s", "1w", "1e3s", "0.0001s", "31d", "nans", "1 s")
    ],
    ("PROCESSOR_RETRY_DELAYS", "0s," * 1000 + "0s", "at most 1000"),
    ("PROCESSOR_HANDLER_TIMEOUT_SECONDS", "0", "0.1 to"),
    ("GRACEFUL_TIMEOUT_SECONDS", "soon", "seconds"),
    *[
        ("ORDER_HANDLER", text, "module:callable")
        for text in ("nothing", "a.b.c", "a:b:c", ":f", "m:", "a..b:f", "1a:f", "a:f()")
    ],
    ("SIMULATE_MAX_MILLISECONDS", "-1", "0 to"),
    *[
        (name, text, "https://")
        for name in ("WEBHOOK_URL", "EVENTS_URL")
        for text in ("ftp://x/y", "shop.example", "https://", "http://x:99999/", "http://[::1/")
    ],
    *[
        (name, text, "base64")
        for kind in ("WEBHOOK", "EVENTS")
        for name in (f"{kind}_SECRET", f"{kind}_SECRET_PREVIOUS")
        for text in ("whsec_", "whsec_====", "whsec_a", "whsec_hunter2hunter2!")
    ],
    ("IDEMPOTENCY_KEY_DAYS", "0", "1 to"),
    ("METRICS_PORT", "0", "1 to 65535"),
    ("LOG_LEVEL", "debug", "DEBUG, INFO"),
    *[("TRACES_URL", text, "https://") for text in ("collector:4318", "http://", "grpc://c:4317")],
    *[
        ("DATABASE_URL", text, MYSQL_FORM)
        for text in (
            "nonsense",
            f"user:{SECRET}@host/database",
            f"mysql://u:{SECRET}@h/d",
            f"mysql+pymysql://u:{SECRET}@h",
            f"mysql+pymysql://u:{SECRET}@/d",
            "mysql+pymysql://h/d",
            f"mysql+pymysql://u:{SECRET}@h:port/d",
            f"mysql+pymysql://u:{SECRET}@h:0/d",
            "sqlite:///",
            "sqlite:///:memory:",
        )
    ],
    ("DATABASE_URL", "mysql+pymysql://u@h/d?autocommit=false", "ssl_ca"),
    ("DATABASE_URL", "mysql+pymysql://u@h/d?ssl_disabled=no", "true or false"),
    ("DATABASE_URL", "mysql+pymysql://u@h1,,h2/d", MYSQL_FORM),
    ("DATABASE_URL", "mysql+pymysql://u@h1,h2:0/d", MYSQL_FORM),
    ("DATABASE_URL", "mysql+pymysql://u@h1,h2:x/d", MYSQL_FORM),
    ("DATABASE_URL", "mysql+pymysql://u@h1,h2/d?servers=h3:1", "ssl_ca"),
    ("DATABASE_URL", "mysql+pymysql://u@h1,h2/d?unix_socket=/s", "one host"),
    ("DATABASE_URL", "mysql+pymysql://u@h/d?ssl_ca=/no/such.pem", "a readable path"),
    ("DATABASE_URL", f"mysql+pymysql://u@h/d?ssl_ca={__file__}", "a PEM file"),
    ("AUTH_PASSWORD", "caf\udce9", "UTF-8"),
    ("DATABASE_URL", "mysql+pymysql://u@h/d?ssl_disabled=true&ssl_ca=ca.pem", "one of them"),
]


def problem_of(environment: dict[str, str]) -> str:
    """Return the one line that the settings' failure gives."""
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment(environment)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert SECRET not in message
    assert caught.value.__cause__ is None
    return message


@pytest.mark.parametrize(("name", "text", "allowed"), INVALID)
def test_an_invalid_value(name: str, text: str, allowed: str) -> None:
    message = problem_of({name: text})
    assert message.startswith(name)
    assert allowed in message


def test_an_invalid_value_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("abc\n")
    assert "1 to 65535" in problem_of({"PORT_FILE": str(tmp_path / "port")})


def test_both_forms_at_once(tmp_path: Path) -> None:
    (tmp_path / "value").write_text(SECRET)
    message = problem_of({"AUTH_PASSWORD": SECRET, "AUTH_PASSWORD_FILE": str(tmp_path / "value")})
    assert "AUTH_PASSWORD and AUTH_PASSWORD_FILE" in message


def missing(directory: Path) -> Path:
    return directory / "missing"


def a_directory(directory: Path) -> Path:
    return directory


def no_text(directory: Path) -> Path:
    (directory / "bytes").write_bytes(b"\xff\xfe\x00")
    return directory / "bytes"


def blank(directory: Path) -> Path:
    (directory / "blank").write_text(" \n\n")
    return directory / "blank"


def of_two_lines(directory: Path) -> Path:
    return directory / "a\nb"


@pytest.mark.parametrize("make", [missing, a_directory, no_text, blank, of_two_lines])
def test_a_file_that_gives_no_value(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    message = problem_of({"AUTH_PASSWORD_FILE": str(make(tmp_path))})
    assert message.startswith("AUTH_PASSWORD_FILE")
    assert repr(str(make(tmp_path))) in message
    assert "expected" in message


@pytest.mark.parametrize("name", ["DATABASE_URL", "AUTH_USERNAME", "AUTH_PASSWORD"])
def test_production_needs_it(name: str) -> None:
    message = problem_of(PRODUCTION | {name: ""})
    assert message.startswith(name)
    assert "missing" in message
    assert "production" in message


@pytest.mark.parametrize("name", ["AUTH_PASSWORD", "AUTH_PASSWORD_PREVIOUS"])
def test_production_refuses_the_default_credentials(name: str) -> None:
    message = problem_of(PRODUCTION | {name: "securepassword"})
    assert message.startswith(f"{name} ")
    assert "default" in message


def test_production_reads_files_as_well(tmp_path: Path) -> None:
    path = tmp_path / "password"
    environment = PRODUCTION | {"AUTH_PASSWORD": "", "AUTH_PASSWORD_FILE": str(path)}
    path.write_text(f"{SECRET}\n")
    assert Settings.from_environment(environment).auth_password == SECRET
    path.write_text("securepassword\n")
    assert problem_of(environment).startswith("AUTH_PASSWORD ")


@pytest.mark.parametrize("name", ["WEBHOOK_URL", "WEBHOOK_SECRET"])
def test_the_webhook_handler_needs_it(name: str) -> None:
    environment = {"ORDER_HANDLER": "webhook", "WEBHOOK_URL": HOOK, "WEBHOOK_SECRET": SECRET}
    message = problem_of(environment | {name: ""})
    assert message.startswith(name)
    assert "webhook" in message


def test_events_need_a_secret() -> None:
    message = problem_of({"EVENTS_URL": HOOK})
    assert message.startswith("EVENTS_SECRET is missing")
    assert "EVENTS_URL" in message

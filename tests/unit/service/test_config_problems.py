"""What is wrong with the configuration is said in one line, and never with a secret in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.config import ConfigError, Settings

SECRET = "hunter2hunter2"
MYSQL_FORM = "mysql+pymysql://user:password@host:port/database"
PRODUCTION = {
    "APP_ENV": "production",
    "DATABASE_URL": f"mysql+pymysql://u:{SECRET}@h/d",
    "AUTH_USERNAME": "shop",
    "AUTH_PASSWORD": SECRET,
}
# Variable, a text that is not allowed, and words that say what is allowed.
INVALID = [
    ("APP_ENV", "prod", "development, production"),
    ("APP_ENV", "Production", "development, production"),
    ("APP_ENV", " production", "development, production"),
    ("AUTH_USERNAME", "a:b", "without"),
    *[
        ("PORT", text, "1 to 65535")
        for text in (
            "0",
            "65536",
            "-1",
            "abc",
            "5000.0",
            "5_000",
            "\u0665",
            " 80",
            "0x50",
            "9" * 5000,
        )
    ],
    ("WEB_CONCURRENCY", "0", "1 to"),
    ("WEB_THREADS", "1", "to 512"),
    ("PROCESSOR_THREADS", "-1", "0 to"),
    ("PROCESSOR_THREADS", "many", "0 to"),
    *[
        ("PROCESSOR_LEASE_SECONDS", text, "1 to")
        for text in ("0", "-1", "nan", "inf", "1e9", "15s", "abc")
    ],
    ("PROCESSOR_MAX_ATTEMPTS", "0", "1 to"),
    ("PROCESSOR_MAX_ATTEMPTS", "1.5", "1 to"),
    ("PROCESSOR_HANDLER_TIMEOUT_SECONDS", "0", "0.1 to"),
    ("GRACEFUL_TIMEOUT_SECONDS", "soon", "seconds"),
    *[
        ("ORDER_HANDLER", text, "module:callable")
        for text in ("nothing", "a.b.c", "a:b:c", ":f", "m:", "a..b:f", "1a:f", "a:f()", "a b:c")
    ],
    ("SIMULATE_MAX_MILLISECONDS", "-1", "0 to"),
    *[
        ("WEBHOOK_URL", text, "https://")
        for text in ("ftp://x/y", "shop.example", "https://", "http://x:99999/", "http://[::1/")
    ],
    ("LOG_LEVEL", "debug", "DEBUG, INFO"),
    ("LOG_LEVEL", "TRACE", "DEBUG, INFO"),
    *[
        ("DATABASE_URL", text, MYSQL_FORM)
        for text in (
            "nonsense",
            f"user:{SECRET}@host/database",
            f"mysql://u:{SECRET}@h/d",
            f"postgresql://u:{SECRET}@h/d",
            f"mysql+pymysql://u:{SECRET}@h",
            f"mysql+pymysql://u:{SECRET}@/d",
            "mysql+pymysql://h/d",
            f"mysql+pymysql://u:{SECRET}@h:port/d",
            "sqlite://",
            "sqlite:///",
            "sqlite:///:memory:",
        )
    ],
    ("DATABASE_URL", "mysql+pymysql://u@h/d?ssl_disabled=no", "true or false"),
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


@pytest.mark.parametrize(
    ("name", "text", "allowed"), [case for case in INVALID if case[1] == case[1].strip()]
)
def test_an_invalid_value_in_a_file(tmp_path: Path, name: str, text: str, allowed: str) -> None:
    (tmp_path / "value").write_text(f"{text}\n", encoding="utf-8")
    message = problem_of({f"{name}_FILE": str(tmp_path / "value")})
    assert message.startswith(name)
    assert allowed in message


@pytest.mark.parametrize("name", ["PORT", "DATABASE_URL", "AUTH_PASSWORD", "WEBHOOK_SECRET"])
def test_both_forms_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "value").write_text(SECRET)
    message = problem_of({name: SECRET, f"{name}_FILE": str(tmp_path / "value")})
    assert f"{name} and {name}_FILE" in message


def missing(directory: Path) -> Path:
    return directory / "missing"


def a_directory(directory: Path) -> Path:
    return directory


def below_a_file(directory: Path) -> Path:
    (directory / "file").touch()
    return directory / "file" / "x"


def no_text(directory: Path) -> Path:
    (directory / "bytes").write_bytes(b"\xff\xfe\x00")
    return directory / "bytes"


def empty(directory: Path) -> Path:
    (directory / "empty").touch()
    return directory / "empty"


def blank(directory: Path) -> Path:
    (directory / "blank").write_text(" \n\n")
    return directory / "blank"


@pytest.mark.parametrize("name", ["PORT", "AUTH_PASSWORD", "DATABASE_URL"])
@pytest.mark.parametrize("make", [missing, a_directory, below_a_file, no_text, empty, blank])
def test_a_file_that_gives_no_value(tmp_path: Path, name: str, make: object) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    message = problem_of({f"{name}_FILE": str(path)})
    assert message.startswith(f"{name}_FILE")
    assert str(path) in message
    assert "expected" in message


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    assert problem_of({"PORT_FILE": f"{tmp_path}/a\nb"}).startswith("PORT_FILE")


@pytest.mark.parametrize("name", ["DATABASE_URL", "AUTH_USERNAME", "AUTH_PASSWORD"])
@pytest.mark.parametrize("value", [None, ""])
def test_production_needs_it(name: str, value: str | None) -> None:
    environment = {key: text for key, text in PRODUCTION.items() if key != name}
    if value is not None:
        environment[name] = value
    message = problem_of(environment)
    assert message.startswith(name)
    assert "missing" in message
    assert "production" in message


def test_production_takes_it_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{SECRET}\n")
    environment = PRODUCTION | {"AUTH_PASSWORD": "", "AUTH_PASSWORD_FILE": f"{tmp_path}/password"}
    assert Settings.from_environment(environment).auth_password == SECRET


@pytest.mark.parametrize("name", ["AUTH_PASSWORD", "AUTH_PASSWORD_PREVIOUS"])
def test_production_refuses_the_default_credentials(name: str) -> None:
    message = problem_of(PRODUCTION | {name: "securepassword"})
    assert message.startswith(f"{name} ")
    assert "default" in message


def test_production_refuses_the_default_credentials_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("securepassword\n")
    environment = PRODUCTION | {"AUTH_PASSWORD": "", "AUTH_PASSWORD_FILE": f"{tmp_path}/password"}
    assert problem_of(environment).startswith("AUTH_PASSWORD")


@pytest.mark.parametrize("name", ["WEBHOOK_URL", "WEBHOOK_SECRET"])
@pytest.mark.parametrize("handler", ["webhook", "service.processing.handlers:webhook"])
def test_the_webhook_handler_needs_it(name: str, handler: str) -> None:
    environment = {"WEBHOOK_URL": "https://shop.example/", "WEBHOOK_SECRET": SECRET}
    environment |= {"ORDER_HANDLER": handler, name: ""}
    message = problem_of(environment)
    assert message.startswith(name)
    assert "webhook" in message


@pytest.mark.parametrize("show", [repr, str])
def test_no_secret_is_shown(show: object) -> None:
    environment = PRODUCTION | {
        "AUTH_PASSWORD_PREVIOUS": SECRET,
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_URL": f"https://user:{SECRET}@shop.example/",
    }
    shown = show(Settings.from_environment(environment))  # type: ignore[operator]
    assert SECRET not in shown
    assert "production" in shown

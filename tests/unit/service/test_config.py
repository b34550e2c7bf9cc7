"""The settings: README's defaults, every variable and its file, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from sqlalchemy import make_url

from service.config import DEFAULT_HANDLER, WEBHOOK_HANDLER, ConfigError, Settings
from service.database_url import PROJECT_ROOT

SECRET = "hunter2hunter2"
MYSQL = "mysql+pymysql://user:password@host:3306/database"
MYSQL_FORM = "mysql+pymysql://user:password@host:port/database"
HOOK = "https://shop.example/hook?a=b"
PRODUCTION = {
    "APP_ENV": "production",
    "DATABASE_URL": f"mysql+pymysql://u:{SECRET}@h/d",
    "AUTH_USERNAME": "shop",
    "AUTH_PASSWORD": SECRET,
}
FIELDS = [field.name for field in fields(Settings)]
# Variable, a text that is allowed, and what the field of its name is then.
VALID: list[tuple[str, str, object]] = [
    ("APP_ENV", "development", "development"),
    ("DATABASE_URL", MYSQL, make_url(MYSQL)),
    ("AUTH_USERNAME", "jürgen", "jürgen"),
    ("AUTH_PASSWORD", "pa:ss word", "pa:ss word"),
    ("AUTH_PASSWORD_PREVIOUS", "the one before", "the one before"),
    ("PORT", "1", 1),
    ("PORT", "65535", 65535),
    ("WEB_CONCURRENCY", "4", 4),
    ("WEB_THREADS", "32", 32),
    ("PROCESSOR_THREADS", "0", 0),
    ("PROCESSOR_LEASE_SECONDS", "2.5", 2.5),
    ("PROCESSOR_MAX_ATTEMPTS", "1", 1),
    ("PROCESSOR_HANDLER_TIMEOUT_SECONDS", "0.5", 0.5),
    ("GRACEFUL_TIMEOUT_SECONDS", "10", 10.0),
    ("ORDER_HANDLER", "shop.fulfil:handle_order", "shop.fulfil:handle_order"),
    ("SIMULATE_MAX_MILLISECONDS", "0", 0),
    ("WEBHOOK_URL", HOOK, HOOK),
    ("WEBHOOK_SECRET", "s3cret", "s3cret"),
    ("LOG_LEVEL", "DEBUG", "DEBUG"),
    ("RELEASE", "1.2.3", "1.2.3"),
]
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
    ("PROCESSOR_MAX_ATTEMPTS", "0", "1 to"),
    ("PROCESSOR_HANDLER_TIMEOUT_SECONDS", "0", "0.1 to"),
    ("GRACEFUL_TIMEOUT_SECONDS", "soon", "seconds"),
    *[
        ("ORDER_HANDLER", text, "module:callable")
        for text in ("nothing", "a.b.c", "a:b:c", ":f", "m:", "a..b:f", "1a:f", "a:f()")
    ],
    ("SIMULATE_MAX_MILLISECONDS", "-1", "0 to"),
    *[
        ("WEBHOOK_URL", text, "https://")
        for text in ("ftp://x/y", "shop.example", "https://", "http://x:99999/", "http://[::1/")
    ],
    ("LOG_LEVEL", "debug", "DEBUG, INFO"),
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
    ("DATABASE_URL", "mysql+pymysql://u@h/d?ssl_ca=/no/such.pem", "a readable path"),
    ("AUTH_PASSWORD", "caf\udce9", "UTF-8"),
    ("DATABASE_URL", "mysql+pymysql://u@h/d?ssl_disabled=true&ssl_ca=ca.pem", "one of them"),
]


def documented_defaults() -> dict[str, str]:
    """Return the variables of README's table, each with the default that stands there."""
    text = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## Configuration\n")[2].partition("\n## ")[0]
    found: dict[str, str] = {}
    for row in re.findall(r"^\| (`.*)", section, re.MULTILINE):
        named, default, _ = (cell.strip() for cell in row.split("|", 2))
        names = re.findall(r"`(\w+)`", named)
        defaults = default.split(", ") if len(names) > 1 and default else [default] * len(names)
        found |= zip(names, defaults, strict=True)
    return found


DOCUMENTED = documented_defaults()


def test_readme_has_every_variable_and_no_other() -> None:
    assert sorted(DOCUMENTED) == sorted(name.upper() for name in FIELDS)
    assert {name for name, *_ in VALID} == set(DOCUMENTED)


@pytest.mark.parametrize("name", sorted(set(DOCUMENTED) - {"DATABASE_URL"}))
def test_a_default_is_the_one_in_readme(name: str) -> None:
    field, text = name.lower(), DOCUMENTED[name].strip("`")
    default = getattr(Settings.from_environment({}), field)
    if text:
        assert default == getattr(Settings.from_environment({name: text}), field)
    else:
        assert default is None


def test_the_default_database_is_where_readme_says() -> None:
    assert DOCUMENTED["DATABASE_URL"] == "a SQLite file in `instance/`"
    url = Settings.from_environment({}).database_url
    assert url.drivername == "sqlite"
    assert Path(str(url.database)).parent == PROJECT_ROOT / "instance"


def test_the_environments_defaults_are_those_of_the_class() -> None:
    assert Settings.from_environment({}) == Settings()


@pytest.mark.parametrize(("name", "text", "value"), VALID)
def test_a_variable_sets_its_field_alone(name: str, text: str, value: object) -> None:
    settings = Settings.from_environment({name: text})
    assert getattr(settings, name.lower()) == value
    for other in set(FIELDS) - {name.lower()}:
        assert getattr(settings, other) == getattr(Settings(), other)


def test_every_variable_may_come_from_a_file(tmp_path: Path) -> None:
    for name, text, value in VALID:
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
        settings = Settings.from_environment({f"{name}_FILE": str(tmp_path / name)})
        assert getattr(settings, name.lower()) == value


def test_an_empty_variable_is_none() -> None:
    empty = {name: "" for variable in DOCUMENTED for name in (variable, f"{variable}_FILE")}
    assert Settings.from_environment(empty) == Settings()


def test_an_empty_file_holds_no_previous_password(tmp_path: Path) -> None:
    (tmp_path / "previous").write_text("\n")
    environment = {"AUTH_PASSWORD_PREVIOUS_FILE": str(tmp_path / "previous")}
    assert Settings.from_environment(environment) == Settings()


def test_a_handler_by_its_alias() -> None:
    hook = {"WEBHOOK_URL": HOOK, "WEBHOOK_SECRET": "s"}
    for alias, name in (("simulate", DEFAULT_HANDLER), ("webhook", WEBHOOK_HANDLER)):
        settings = Settings.from_environment(hook | {"ORDER_HANDLER": alias})
        assert settings.order_handler == name


def test_production_with_everything() -> None:
    assert Settings.from_environment(PRODUCTION).production
    assert not Settings().production


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]


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


def test_no_secret_is_shown() -> None:
    environment = PRODUCTION | {
        "AUTH_PASSWORD_PREVIOUS": SECRET,
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_URL": f"https://user:{SECRET}@shop.example/",
    }
    settings = Settings.from_environment(environment)
    assert "production" in repr(settings)
    assert SECRET not in f"{settings!r} {settings}"

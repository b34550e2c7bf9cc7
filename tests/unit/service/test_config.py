"""The settings: README's defaults, and every variable and its file."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from sqlalchemy import make_url

from service.config import Settings, former_settings
from service.database_url import PROJECT_ROOT
from service.setting_values import DEFAULT_HANDLER, WEBHOOK_HANDLER

SECRET = "hunter2hunter2"
MYSQL = "mysql+pymysql://user:password@host:3306/database"
HOOK = "https://shop.example/hook?a=b"
COLLECTOR = "http://collector.example:4318/v1/traces"
PRODUCTION = {
    "APP_ENV": "production",
    "DATABASE_URL": f"mysql+pymysql://u:{SECRET}@h/d",
    "AUTH_USERNAME": "shop",
    "AUTH_PASSWORD": SECRET,
}
FIELDS = [field.name for field in fields(Settings)]
# What a variable is not allowed without.
NEEDED = {"EVENTS_URL": {"EVENTS_SECRET": SECRET}}
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
    ("PROCESSOR_RETRY_DELAYS", "0s, 1.5s,20ms,2m,5h,30d", (0, 1.5, 0.02, 120, 18_000, 2_592_000)),
    ("PROCESSOR_RETRY_DELAYS", "none", ()),
    ("PROCESSOR_HANDLER_TIMEOUT_SECONDS", "0.5", 0.5),
    ("GRACEFUL_TIMEOUT_SECONDS", "10", 10.0),
    ("ORDER_HANDLER", "shop.fulfil:handle_order", "shop.fulfil:handle_order"),
    ("SIMULATE_MAX_MILLISECONDS", "0", 0),
    ("WEBHOOK_URL", HOOK, HOOK),
    ("WEBHOOK_SECRET", "s3cret", "s3cret"),
    ("WEBHOOK_SECRET", "whsec_c2VjcmV0", "whsec_c2VjcmV0"),
    ("WEBHOOK_SECRET", "whsec_c2VjcmU", "whsec_c2VjcmU"),
    ("WEBHOOK_SECRET_PREVIOUS", "the one before", "the one before"),
    ("EVENTS_URL", HOOK, HOOK),
    ("EVENTS_SECRET", "whsec_c2VjcmV0", "whsec_c2VjcmV0"),
    ("EVENTS_SECRET_PREVIOUS", "the one before", "the one before"),
    ("IDEMPOTENCY_KEY_DAYS", "1", 1),
    ("METRICS_PORT", "9100", 9100),
    ("LOG_LEVEL", "DEBUG", "DEBUG"),
    ("TRACES_URL", COLLECTOR, COLLECTOR),
    ("RELEASE", "1.2.3", "1.2.3"),
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
    needed = NEEDED.get(name, {})
    settings = Settings.from_environment({name: text} | needed)
    assert getattr(settings, name.lower()) == value
    for other in set(FIELDS) - {one.lower() for one in (name, *needed)}:
        assert getattr(settings, other) == getattr(Settings(), other)


def test_every_variable_may_come_from_a_file(tmp_path: Path) -> None:
    for name, text, value in VALID:
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
        environment = {f"{name}_FILE": str(tmp_path / name)} | NEEDED.get(name, {})
        settings = Settings.from_environment(environment)
        assert getattr(settings, name.lower()) == value


def test_an_empty_variable_is_none() -> None:
    empty = {name: "" for variable in DOCUMENTED for name in (variable, f"{variable}_FILE")}
    assert Settings.from_environment(empty) == Settings()


@pytest.mark.parametrize(
    "name", ["AUTH_PASSWORD_PREVIOUS", "WEBHOOK_SECRET_PREVIOUS", "EVENTS_SECRET_PREVIOUS"]
)
def test_an_empty_file_holds_no_previous_secret(tmp_path: Path, name: str) -> None:
    (tmp_path / "previous").write_text("\n")
    environment = {f"{name}_FILE": str(tmp_path / "previous")}
    assert Settings.from_environment(environment) == Settings()


def test_a_handler_by_its_alias() -> None:
    hook = {"WEBHOOK_URL": HOOK, "WEBHOOK_SECRET": "s"}
    for alias, name in (("simulate", DEFAULT_HANDLER), ("webhook", WEBHOOK_HANDLER)):
        settings = Settings.from_environment(hook | {"ORDER_HANDLER": alias})
        assert settings.order_handler == name


@pytest.mark.parametrize(("text", "attempts"), [("none", 1), ("0s", 2), ("1s,2m,3h", 4)])
def test_there_is_one_more_attempt_after_each_delay(text: str, attempts: int) -> None:
    settings = Settings.from_environment({"PROCESSOR_RETRY_DELAYS": text})
    assert settings.most_attempts == attempts


def test_production_with_everything() -> None:
    assert Settings.from_environment(PRODUCTION).production
    assert not Settings().production


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", ["PROCESSOR_MAX_ATTEMPTS", "PROCESSOR_MAX_ATTEMPTS_FILE"])
def test_a_variable_of_an_earlier_release_is_said_to_be_ignored(name: str) -> None:
    [line] = former_settings({name: "5", "PORT": "5000"})
    assert line.startswith("PROCESSOR_MAX_ATTEMPTS is not used")
    assert "PROCESSOR_RETRY_DELAYS" in line
    assert former_settings({name: "", "PROCESSOR_RETRY_DELAYS": "none"}) == []
    assert Settings.from_environment({name: "5"}) == Settings()


def test_no_secret_is_shown() -> None:
    environment = PRODUCTION | {
        "AUTH_PASSWORD_PREVIOUS": SECRET,
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_SECRET_PREVIOUS": SECRET,
        "WEBHOOK_URL": f"https://user:{SECRET}@shop.example/",
        "EVENTS_SECRET": SECRET,
        "EVENTS_SECRET_PREVIOUS": SECRET,
        "EVENTS_URL": f"https://user:{SECRET}@shop.example/",
        "TRACES_URL": f"https://user:{SECRET}@shop.example/",
    }
    settings = Settings.from_environment(environment)
    assert "production" in repr(settings)
    assert SECRET not in f"{settings!r} {settings}"

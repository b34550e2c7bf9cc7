"""The settings: defaults, and every variable that changes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.config import DEFAULT_HANDLER, PROJECT_ROOT, WEBHOOK_HANDLER, Settings

MYSQL = "mysql+pymysql://user:password@host:3306/database"
# Variable: the field it sets, a text that is allowed, and what the field is then.
VALID = [
    ("APP_ENV", "app_env", "development", "development"),
    ("AUTH_USERNAME", "auth_username", "jürgen", "jürgen"),
    ("AUTH_PASSWORD", "auth_password", "pa:ss word", "pa:ss word"),
    ("AUTH_PASSWORD_PREVIOUS", "auth_password_previous", "the one before", "the one before"),
    ("PORT", "port", "1", 1),
    ("PORT", "port", "65535", 65535),
    ("WEB_CONCURRENCY", "web_concurrency", "4", 4),
    ("WEB_THREADS", "web_threads", "32", 32),
    ("PROCESSOR_THREADS", "processor_threads", "0", 0),
    ("PROCESSOR_THREADS", "processor_threads", "64", 64),
    ("PROCESSOR_LEASE_SECONDS", "processor_lease_seconds", "30", 30.0),
    ("PROCESSOR_LEASE_SECONDS", "processor_lease_seconds", "2.5", 2.5),
    ("PROCESSOR_MAX_ATTEMPTS", "processor_max_attempts", "1", 1),
    ("PROCESSOR_HANDLER_TIMEOUT_SECONDS", "processor_handler_timeout_seconds", "0.5", 0.5),
    ("GRACEFUL_TIMEOUT_SECONDS", "graceful_timeout_seconds", "10", 10.0),
    ("ORDER_HANDLER", "order_handler", "simulate", DEFAULT_HANDLER),
    ("ORDER_HANDLER", "order_handler", "shop.fulfil:handle_order", "shop.fulfil:handle_order"),
    ("SIMULATE_MAX_MILLISECONDS", "simulate_max_milliseconds", "0", 0),
    (
        "WEBHOOK_URL",
        "webhook_url",
        "https://shop.example/hook?a=b",
        "https://shop.example/hook?a=b",
    ),
    ("WEBHOOK_URL", "webhook_url", "http://10.0.0.1:8080", "http://10.0.0.1:8080"),
    ("WEBHOOK_SECRET", "webhook_secret", "s3cret", "s3cret"),
    ("LOG_LEVEL", "log_level", "DEBUG", "DEBUG"),
    ("RELEASE", "release", "1.2.3", "1.2.3"),
]
NAMES = sorted({name for name, *_ in VALID} | {"DATABASE_URL"})


def test_defaults_are_the_documented_ones() -> None:
    settings = Settings.from_environment({})
    assert settings.app_env == "development"
    assert not settings.production
    assert settings.database_url.drivername == "sqlite"
    assert Path(str(settings.database_url.database)).parent == PROJECT_ROOT / "instance"
    assert (settings.auth_username, settings.auth_password) == ("admin", "securepassword")
    assert settings.port == 5000
    assert settings.processor_lease_seconds == 15
    assert settings.processor_max_attempts == 5
    assert settings.processor_threads > 0
    assert settings.order_handler.endswith(":simulate")
    assert settings.simulate_max_milliseconds == 200
    assert (settings.webhook_url, settings.webhook_secret) == (None, None)


def test_the_environments_defaults_are_those_of_the_class() -> None:
    assert Settings.from_environment({}) == Settings()


@pytest.mark.parametrize(("name", "field", "text", "value"), VALID)
def test_a_variable_sets_its_field_alone(name: str, field: str, text: str, value: object) -> None:
    settings = Settings.from_environment({name: text})
    assert getattr(settings, field) == value
    others = [other for other in Settings.__dataclass_fields__ if other != field]
    assert [getattr(settings, other) for other in others] == [
        getattr(Settings(), other) for other in others
    ]


@pytest.mark.parametrize(("name", "field", "text", "value"), VALID)
def test_a_file_sets_it_as_well(
    tmp_path: Path, name: str, field: str, text: str, value: object
) -> None:
    path = tmp_path / "value"
    path.write_text(f"{text}\n", encoding="utf-8")
    settings = Settings.from_environment({f"{name}_FILE": str(path)})
    assert getattr(settings, field) == value


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_is_none(name: str) -> None:
    assert Settings.from_environment({name: "", f"{name}_FILE": ""}) == Settings()


def test_an_empty_file_holds_no_previous_password(tmp_path: Path) -> None:
    (tmp_path / "previous").write_text("\n")
    environment = {"AUTH_PASSWORD_PREVIOUS_FILE": str(tmp_path / "previous")}
    assert Settings.from_environment(environment) == Settings()


@pytest.mark.parametrize("text", [MYSQL, "mysql+pymysql://u@h/d", "sqlite:////var/lib/orders.db"])
def test_database_urls(text: str, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(text)
    for environment in ({"DATABASE_URL": text}, {"DATABASE_URL_FILE": str(tmp_path / "url")}):
        url = Settings.from_environment(environment).database_url
        assert url.render_as_string(hide_password=False) == text


@pytest.mark.parametrize(
    ("address", "encrypted"),
    [
        ("db.example/d", True),
        ("db.example/d?ssl_disabled=true", False),
        ("127.0.0.1:3306/d", False),
        ("[::1]/d", False),
        ("localhost/d", False),
        ("db.example/d?unix_socket=/run/mysqld.sock", False),
        ("127.0.0.1/d?ssl_disabled=false", True),
        ("127.0.0.1/d?ssl_ca=/etc/ca.pem", True),
    ],
)
def test_connections_are_encrypted_unless_they_stay_inside_the_host(
    address: str, encrypted: bool
) -> None:
    url = Settings.from_environment({"DATABASE_URL": f"mysql+pymysql://u@{address}"}).database_url
    assert url.query.get("ssl_disabled") == (None if encrypted else "true")


def test_the_webhook_handler_by_its_alias() -> None:
    settings = Settings.from_environment(
        {"ORDER_HANDLER": "webhook", "WEBHOOK_URL": "https://x.example/", "WEBHOOK_SECRET": "s"}
    )
    assert settings.order_handler == WEBHOOK_HANDLER


def test_production_with_everything() -> None:
    settings = Settings.from_environment(
        {
            "APP_ENV": "production",
            "DATABASE_URL": MYSQL,
            "AUTH_USERNAME": "shop",
            "AUTH_PASSWORD": "of their own",
        }
    )
    assert settings.production


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]

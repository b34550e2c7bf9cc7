"""Configuration: environment variables, read once into a frozen, validated object."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from service import setting_values as values
from service.database_url import (
    LARGEST_PORT,
    MYSQL_URL_FORM,
    check_driver,
    default_database_url,
    parse_database_url,
)

DEVELOPMENT_USERNAME = "admin"
DEVELOPMENT_PASSWORD = "securepassword"  # noqa: S105 - the documented development default
# A rotation's end leaves the file in place, and nothing in it.
MAY_BE_EMPTY = {"AUTH_PASSWORD_PREVIOUS", "WEBHOOK_SECRET_PREVIOUS", "EVENTS_SECRET_PREVIOUS"}
FORMER = {"PROCESSOR_MAX_ATTEMPTS": "PROCESSOR_RETRY_DELAYS has one delay for each later attempt"}
DEFAULT_RETRY_DELAYS = "1s,5s,30s,2m,10m,30m,2h,5h,10h,14h,20h,24h"
PARSE = "parse"


class ConfigError(Exception):
    """A variable is missing or invalid; the message is one line for the operator."""


def _setting(default: Any, parse: Callable[[str], Any] = str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={PARSE: parse})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service was told, validated: a field for each variable, with its default.

    Durations are in seconds. What may hold a secret is kept out of the repr.
    """

    app_env: str = _setting("development", values.one_of("development", "production"))
    database_url: URL = field(
        default_factory=default_database_url, repr=False, metadata={PARSE: parse_database_url}
    )
    auth_username: str = _setting(DEVELOPMENT_USERNAME, values.username)
    auth_password: str = _setting(DEVELOPMENT_PASSWORD, secret=True)
    auth_password_previous: str | None = _setting(None, secret=True)
    port: int = _setting(5000, values.integer(1, LARGEST_PORT))
    web_concurrency: int = _setting(1, values.integer(1, 64))
    web_threads: int = _setting(16, values.integer(4, 512))
    processor_threads: int = _setting(8, values.integer(0, 512))
    processor_lease_seconds: float = _setting(15.0, values.seconds(1, 3600))
    processor_retry_delays: tuple[float, ...] = _setting(
        values.parse_delays(DEFAULT_RETRY_DELAYS), values.parse_delays
    )
    processor_handler_timeout_seconds: float = _setting(60.0, values.seconds(0.1, 86400))
    graceful_timeout_seconds: float = _setting(30.0, values.seconds(1, 3600))
    order_handler: str = _setting(values.DEFAULT_HANDLER, values.handler)
    simulate_max_milliseconds: int = _setting(200, values.integer(0, 60000))
    webhook_url: str | None = _setting(None, values.http_url, secret=True)
    webhook_secret: str | None = _setting(None, values.webhook_secret, secret=True)
    webhook_secret_previous: str | None = _setting(None, values.webhook_secret, secret=True)
    events_url: str | None = _setting(None, values.http_url, secret=True)
    events_secret: str | None = _setting(None, values.webhook_secret, secret=True)
    events_secret_previous: str | None = _setting(None, values.webhook_secret, secret=True)
    idempotency_key_days: int = _setting(30, values.integer(1, 36500))
    metrics_port: int | None = _setting(None, values.integer(1, LARGEST_PORT))
    traces_url: str | None = _setting(None, values.http_url, secret=True)
    log_level: str = _setting("INFO", values.one_of("DEBUG", "INFO", "WARNING", "ERROR"))
    release: str = _setting("dev")

    @property
    def most_attempts(self) -> int:
        """How many attempts an order has: one, and one more after each delay."""
        return len(self.processor_retry_delays) + 1

    @property
    def production(self) -> bool:
        """Whether `APP_ENV` is `production`."""
        return self.app_env == "production"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and validate every variable.

        Raises:
            ConfigError: a variable is missing or invalid; its message names the variable, what is
                wrong and what is allowed.
        """
        given: dict[str, Any] = {}
        for one in fields(cls):
            name = one.name.upper()
            text = _read(environment, name)
            if text is None:
                continue
            try:
                given[one.name] = one.metadata[PARSE](text)
            except ValueError as problem:
                raise ConfigError(f"{name}: {problem}") from None
        settings = cls(**given)
        _check_driver(settings)
        _check_webhook(settings)
        _check_events(settings)
        if settings.production:
            _check_production(settings, set(given))
        return settings


def former_settings(environment: Mapping[str, str]) -> list[str]:
    """Return a line for each variable that is set and that the service knows no more."""
    return [
        f"{name} is not used any more; {instead}"
        for name, instead in FORMER.items()
        if environment.get(name) or environment.get(f"{name}_FILE")
    ]


def settings_or_exit() -> Settings:
    """Return the environment's settings, or end the program with one line on what is wrong."""
    try:
        return Settings.from_environment(os.environ)
    except ConfigError as problem:
        sys.exit(f"order-service: {problem}")


def _read(environment: Mapping[str, str], name: str) -> str | None:
    """Return the text of `NAME`, or of the file that `NAME_FILE` names; None when neither is set.

    Empty means not set.
    """
    value = environment.get(name) or None
    path = environment.get(f"{name}_FILE") or None
    if value is not None and path is not None:
        raise ConfigError(f"{name} and {name}_FILE are both set; set only one of them")
    if path is not None:
        return _read_file(name, path) or None
    if value is not None and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{name}: it is not UTF-8 text; expected that") from None
    return value


def _read_file(name: str, path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(
            f"{name}_FILE: cannot read {path!r} ({reason}); expected a readable text file"
        ) from None
    if not text and name not in MAY_BE_EMPTY:
        raise ConfigError(f"{name}_FILE: {path!r} is empty; expected the value of {name} in it")
    return text


def _check_driver(settings: Settings) -> None:
    try:
        check_driver(settings.database_url)
    except ValueError as problem:
        raise ConfigError(f"DATABASE_URL: {problem}") from None


def _check_webhook(settings: Settings) -> None:
    if settings.order_handler != values.WEBHOOK_HANDLER:
        return
    for name, value in (
        ("WEBHOOK_URL", settings.webhook_url),
        ("WEBHOOK_SECRET", settings.webhook_secret),
    ):
        if value is None:
            raise ConfigError(f"{name} is missing; expected it to be set for the webhook handler")


def _check_events(settings: Settings) -> None:
    if settings.events_url is not None and settings.events_secret is None:
        raise ConfigError("EVENTS_SECRET is missing; expected it to be set with EVENTS_URL")


def _check_production(settings: Settings, given: set[str]) -> None:
    if "database_url" not in given:
        raise ConfigError(
            f"DATABASE_URL is missing; expected {MYSQL_URL_FORM} when APP_ENV is production"
        )
    for name in ("AUTH_USERNAME", "AUTH_PASSWORD"):
        if name.lower() not in given:
            raise ConfigError(f"{name} is missing; expected one of your own in production")
    for name, password in (
        ("AUTH_PASSWORD", settings.auth_password),
        ("AUTH_PASSWORD_PREVIOUS", settings.auth_password_previous),
    ):
        if password == DEVELOPMENT_PASSWORD:
            raise ConfigError(
                f"{name} is the development default; expected one of your own in production"
            )

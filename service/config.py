"""Configuration: environment variables, read once into a frozen, validated object."""

from __future__ import annotations

import ipaddress
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

T = TypeVar("T")

DEVELOPMENT_USERNAME = "admin"
DEVELOPMENT_PASSWORD = "securepassword"  # noqa: S105 - the documented development default
DEFAULT_HANDLER = "service.processing.handlers:simulate"
WEBHOOK_HANDLER = "service.processing.handlers:webhook"
HANDLER_ALIASES = {"simulate": DEFAULT_HANDLER, "webhook": WEBHOOK_HANDLER}
LARGEST_PORT = 65535
# What PyMySQL is told about TLS and sockets; its other options are the service's own.
MYSQL_TLS = {"ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_check_hostname"}
MYSQL_OPTIONS = MYSQL_TLS | {"ssl_disabled", "unix_socket"}
# A rotation's end leaves the file in place, and nothing in it.
MAY_BE_EMPTY = {"AUTH_PASSWORD_PREVIOUS"}
MYSQL_URL_FORM = "mysql+pymysql://user:password@host:port/database"
PROJECT_ROOT = Path(__file__).resolve().parent.parent


class ConfigError(Exception):
    """A variable is missing or invalid; the message is one line for the operator."""


def _default_database_url() -> URL:
    return URL.create("sqlite", database=str(PROJECT_ROOT / "instance" / "orders.db"))


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service was told, validated.

    Durations are in seconds. What may hold a secret is kept out of the repr.
    """

    app_env: str = "development"
    database_url: URL = field(default_factory=_default_database_url, repr=False)
    auth_username: str = DEVELOPMENT_USERNAME
    auth_password: str = field(default=DEVELOPMENT_PASSWORD, repr=False)
    auth_password_previous: str | None = field(default=None, repr=False)
    port: int = 5000
    web_concurrency: int = 1
    web_threads: int = 16
    processor_threads: int = 8
    processor_lease_seconds: float = 15.0
    processor_max_attempts: int = 5
    processor_handler_timeout_seconds: float = 60.0
    graceful_timeout_seconds: float = 30.0
    order_handler: str = DEFAULT_HANDLER
    simulate_max_milliseconds: int = 200
    webhook_url: str | None = field(default=None, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    log_level: str = "INFO"
    release: str = "dev"

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
        read = _Reader(environment)
        settings = cls(
            app_env=read("APP_ENV", _one_of("development", "production"), "development"),
            database_url=read("DATABASE_URL", _database_url, None) or _default_database_url(),
            auth_username=read("AUTH_USERNAME", _username, DEVELOPMENT_USERNAME),
            auth_password=read("AUTH_PASSWORD", str, DEVELOPMENT_PASSWORD),
            auth_password_previous=read("AUTH_PASSWORD_PREVIOUS", str, None),
            port=read("PORT", _integer(1, LARGEST_PORT), 5000),
            web_concurrency=read("WEB_CONCURRENCY", _integer(1, 64), 1),
            web_threads=read("WEB_THREADS", _integer(4, 512), 16),
            processor_threads=read("PROCESSOR_THREADS", _integer(0, 512), 8),
            processor_lease_seconds=read("PROCESSOR_LEASE_SECONDS", _seconds(1, 3600), 15.0),
            processor_max_attempts=read("PROCESSOR_MAX_ATTEMPTS", _integer(1, 1000), 5),
            processor_handler_timeout_seconds=read(
                "PROCESSOR_HANDLER_TIMEOUT_SECONDS", _seconds(0.1, 86400), 60.0
            ),
            graceful_timeout_seconds=read("GRACEFUL_TIMEOUT_SECONDS", _seconds(1, 3600), 30.0),
            order_handler=read("ORDER_HANDLER", _handler, DEFAULT_HANDLER),
            simulate_max_milliseconds=read("SIMULATE_MAX_MILLISECONDS", _integer(0, 60000), 200),
            webhook_url=read("WEBHOOK_URL", _http_url, None),
            webhook_secret=read("WEBHOOK_SECRET", str, None),
            log_level=read("LOG_LEVEL", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
            release=read("RELEASE", str, "dev"),
        )
        _check_webhook(settings)
        if settings.production:
            _check_production(settings, read)
        return settings


def settings_or_exit() -> Settings:
    """Return the environment's settings, or end the program with one line on what is wrong."""
    try:
        return Settings.from_environment(os.environ)
    except ConfigError as problem:
        sys.exit(f"order-service: {problem}")


class _Reader:
    """Reads `NAME`, or the file that `NAME_FILE` names; empty means not set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __call__(self, name: str, parse: Callable[[str], T], default: T | None) -> T:
        text = self.text(name)
        if text is None:
            return default  # type: ignore[return-value] # None only where T allows it
        try:
            return parse(text)
        except ValueError as problem:
            raise ConfigError(f"{name}: {problem}") from None

    def text(self, name: str) -> str | None:
        """Return the variable's text, or None when neither form of it is set."""
        value = self._environment.get(name) or None
        path = self._environment.get(f"{name}_FILE") or None
        if value is not None and path is not None:
            raise ConfigError(f"{name} and {name}_FILE are both set; set only one of them")
        if path is None:
            return value
        return self._file(name, path) or None

    @staticmethod
    def _file(name: str, path: str) -> str:
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


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is not allowed; expected one of {', '.join(allowed)}")
        return text

    return parse


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,9}", text) is None or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is not allowed; expected an integer from {low} to {high}")
        return int(text)

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"{text!r} is not allowed; expected seconds from {low} to {high}")
        return value

    return parse


def _username(text: str) -> str:
    # HTTP Basic separates the name from the password at the first colon (RFC 7617).
    if ":" in text:
        raise ValueError("a user name cannot hold ':'; expected one without")
    return text


def _database_url(text: str) -> URL:
    # The text holds a password, so no message repeats it.
    allowed = f"expected {MYSQL_URL_FORM} or sqlite:////path/to/file"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(f"not a database URL; {allowed}") from None
    if url.drivername == "sqlite":
        return _sqlite_url(url, allowed)
    if url.drivername != "mysql+pymysql":
        raise ValueError(f"unsupported database {url.drivername!r}; {allowed}")
    missing = [part for part in ("username", "host", "database") if not getattr(url, part)]
    if missing:
        raise ValueError(f"no {' and no '.join(missing)} in it; {allowed}")
    if url.port is not None and not 1 <= url.port <= LARGEST_PORT:
        raise ValueError(f"port {url.port} does not exist; {allowed}")
    if unknown := set(url.query) - MYSQL_OPTIONS:
        allowed = ", ".join(sorted(MYSQL_OPTIONS))
        raise ValueError(f"unknown option {min(unknown)!r}; expected none but {allowed}")
    return _choose_tls(url)


def _choose_tls(url: URL) -> URL:
    # Nobody listens in between on the way inside a host, and encrypting it anyway, as PyMySQL
    # does since 1.2, costs up to half of a worker's time.
    given = set(url.query)
    inside = "unix_socket" in given or _is_loopback(url.host or "")
    disabled = url.query.get(
        "ssl_disabled", "true" if inside and not given & MYSQL_TLS else "false"
    )
    if disabled not in ("true", "false"):
        raise ValueError("ssl_disabled: expected true or false")
    if disabled == "true" and (contrary := given & MYSQL_TLS):
        raise ValueError(f"{min(contrary)!r} contradicts ssl_disabled=true; expected one of them")
    url = url.difference_update_query(["ssl_disabled"])
    # Left out where it is not meant: PyMySQL takes any text for a yes.
    return url.update_query_dict({"ssl_disabled": "true"}) if disabled == "true" else url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sqlite_url(url: URL, allowed: str) -> URL:
    if not url.database or url.database == ":memory:":
        raise ValueError(f"an in-memory database loses orders; {allowed}")
    if url.query:
        raise ValueError(f"SQLite takes no options here; {allowed}")
    # Absolute, since the parts of the program would take a relative path from different folders.
    path = Path(url.database).resolve()
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if existing.is_dir() == (existing == path) or not os.access(existing, os.R_OK | os.W_OK):
        raise ValueError(f"{str(path)!r} cannot be used as a file; expected a writable place")
    return url.set(database=str(path))


def _handler(text: str) -> str:
    name = HANDLER_ALIASES.get(text, text)
    if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name) is None:
        names = ", ".join(HANDLER_ALIASES)
        raise ValueError(f"{text!r} is not a handler; expected module:callable or one of {names}")
    return name


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("not an HTTP address; expected https://host/path or http://host/path")
    return text


def _check_webhook(settings: Settings) -> None:
    if settings.order_handler != WEBHOOK_HANDLER:
        return
    for name, value in (
        ("WEBHOOK_URL", settings.webhook_url),
        ("WEBHOOK_SECRET", settings.webhook_secret),
    ):
        if value is None:
            raise ConfigError(f"{name} is missing; expected it to be set for the webhook handler")


def _check_production(settings: Settings, read: _Reader) -> None:
    if read.text("DATABASE_URL") is None:
        raise ConfigError(
            f"DATABASE_URL is missing; expected {MYSQL_URL_FORM} when APP_ENV is production"
        )
    for name in ("AUTH_USERNAME", "AUTH_PASSWORD"):
        if read.text(name) is None:
            raise ConfigError(f"{name} is missing; expected one of your own in production")
    for name, password in (
        ("AUTH_PASSWORD", settings.auth_password),
        ("AUTH_PASSWORD_PREVIOUS", settings.auth_password_previous),
    ):
        if password == DEVELOPMENT_PASSWORD:
            raise ConfigError(
                f"{name} is the development default; expected one of your own in production"
            )

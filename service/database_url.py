"""The rules for `DATABASE_URL`."""

from __future__ import annotations

import ipaddress
import os
import re
import sqlite3
import ssl
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

MYSQL_URL_FORM = "mysql+pymysql://user:password@host:port/database"
# The query's option that carries several servers, as `host:port`: storage/servers.py.
SERVERS = "servers"
MYSQL_PORT = 3306
# What stands before the hosts, the hosts, and the rest; a password has no `@` in a URL.
_PARTS = re.compile(r"(?P<before>[^:/]+://[^@]*@)(?P<hosts>[^/?]+)(?P<after>.*)", re.DOTALL)
# What PyMySQL is told about TLS and sockets; its other options are the service's own.
MYSQL_FILES = {"ssl_ca", "ssl_capath", "ssl_cert", "ssl_key"}
MYSQL_TLS = MYSQL_FILES | {"ssl_check_hostname"}
MYSQL_OPTIONS = MYSQL_TLS | {"ssl_disabled", "unix_socket"}
LARGEST_PORT = 65535
# `UPDATE ... FROM` came with it.
OLDEST_SQLITE = (3, 33)
PROJECT_ROOT = Path(__file__).resolve().parent.parent


def default_database_url() -> URL:
    """Return the address of the database that is used when none is named."""
    return URL.create("sqlite", database=str(PROJECT_ROOT / "instance" / "orders.db"))


def check_driver(url: URL) -> None:
    """Check that this Python can use the database.

    Raises:
        ValueError: its SQLite is too old.
    """
    if url.drivername == "sqlite" and sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise ValueError(
            f"this Python has SQLite {sqlite3.sqlite_version}; expected at least {oldest},"
            f" or {MYSQL_URL_FORM}"
        )


def parse_database_url(text: str) -> URL:
    """Return the database's address, with what it says about TLS made complete.

    Where it names several servers, all of them stand in the option `servers` of its query.

    Raises:
        ValueError: it is not one that the service can use; the message has no secret in it.
    """
    # The text holds a password, so no message repeats it.
    allowed = f"expected {MYSQL_URL_FORM} or sqlite:////path/to/file"
    parts = _PARTS.fullmatch(text)
    if parts is None or "," not in parts["hosts"]:
        return _parse_one(text, allowed)
    urls = [
        _parse_one(f"{parts['before']}{host}{parts['after']}", allowed)
        for host in parts["hosts"].split(",")
    ]
    if "unix_socket" in urls[0].query:
        raise ValueError("unix_socket is of one server; expected one host, or no unix_socket")
    # TLS, unless all of them are on this very host.
    url = next((one for one in urls if "ssl_disabled" not in one.query), urls[0])
    servers = [f"{one.host}:{one.port or MYSQL_PORT}" for one in urls]
    return url.set(host=urls[0].host, port=urls[0].port).update_query_dict({SERVERS: servers})


def _parse_one(text: str, allowed: str) -> URL:
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
    for option in sorted(given & MYSQL_FILES):
        _check_readable(option, str(url.query[option]))
    url = url.difference_update_query(["ssl_disabled"])
    # Left out where it is not meant: PyMySQL takes any text for a yes.
    return url.update_query_dict({"ssl_disabled": "true"}) if disabled == "true" else url


def _check_readable(option: str, path: str) -> None:
    if not os.access(path, os.R_OK):
        raise ValueError(f"{option}: cannot read {path!r}; expected a readable path")
    if option == "ssl_ca":
        try:
            ssl.create_default_context(cafile=path)
        except ssl.SSLError:
            raise ValueError(
                f"{option}: there is no certificate in {path!r}; expected a PEM file"
            ) from None


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

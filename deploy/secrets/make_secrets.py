"""Makes the stack's secrets, once: what is there stays.

Each folder below /volumes is a volume that only its reader mounts, so no container sees another
one's secrets. Passwords are made here and nowhere else; the files that hold them in another form
(an URL, SQL, a client's options) are written anew at each run.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import sys
from pathlib import Path

from users import NAMES, client_cnf, database_url, users_sql

VOLUMES = Path(os.environ.get("VOLUMES", "/volumes"))
MYSQL = VOLUMES / "mysql"
MIGRATE = VOLUMES / "migrate"
SERVICE = VOLUMES / "service"
# Files of the user's, or /dev/null.
OWN = Path(os.environ.get("OWN_SECRETS", "/run/own"))
MYSQL_GROUP = int(os.environ.get("MYSQL_GROUP", "999"))
DEVELOPMENT_PASSWORD = "securepassword"  # noqa: S105 - the documented development default


def say(text: str) -> None:
    """Tell the reader of `docker compose logs secrets`."""
    sys.stdout.write(f"secrets: {text}\n")


def write(path: Path, text: str, group: int | None = None) -> None:
    """Put the text in place as a whole, readable by its owner and the group only."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text, encoding="utf-8")
    if group is not None:
        os.chown(new, -1, group)
        new.chmod(0o440)
    new.replace(path)


def keep_or_make(path: Path, group: int | None = None) -> str:
    """Return the password in the file; make one where there is none."""
    if path.exists():
        return path.read_text(encoding="utf-8").strip()
    password = secrets.token_urlsafe(24)
    write(path, password, group)
    say(f"made {path.name}")
    return password


def make_database_secrets() -> None:
    """Make the passwords of MySQL's accounts, and what MySQL and its clients read."""
    MYSQL.chmod(0o750)
    os.chown(MYSQL, -1, MYSQL_GROUP)
    keep_or_make(MYSQL / "root_password", MYSQL_GROUP)
    passwords = {name: keep_or_make(MYSQL / f"{name}_password", MYSQL_GROUP) for name in NAMES}
    write(MYSQL / "users.sql", users_sql(passwords), MYSQL_GROUP)
    for name in ("service", "backup"):
        write(MYSQL / f"{name}.cnf", client_cnf(name, passwords[name]), MYSQL_GROUP)
    write(MIGRATE / "database_url", database_url("migrator", passwords["migrator"]))
    write(SERVICE / "database_url", database_url("service", passwords["service"]))


def own(name: str) -> str:
    """Return the secret that the user brought, or an empty text."""
    try:
        return (OWN / name).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(
            f"secrets: {name.upper()}_FILE cannot be read ({error}); expected a text file that"
            f" user {os.geteuid()} may read: see its mode and its owner"
        )


def make_webhook_secret() -> None:
    """Take the secret of the user's webhook, or make one."""
    path = SERVICE / "webhook_secret"
    if brought := own(path.name):
        write(path, brought)
    else:
        keep_or_make(path)


def is_loopback(address: str) -> bool:
    """Tell whether only this host reaches what is published on the address."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        sys.exit(
            f"secrets: BIND_ADDRESS: {address!r} is not allowed; expected an IP address such as"
            " 127.0.0.1 or 0.0.0.0"
        )


def make_api_password(bind_address: str, username: str) -> None:
    """Decide on the API's password: the user's, the one made before, or a new one.

    The development default serves only while nothing but this host can reach the service.
    """
    path = SERVICE / "auth_password"
    kept = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    only_this_host = is_loopback(bind_address)
    how_to_read = "docker compose exec app cat /run/secrets/auth_password"
    if brought := own(path.name):
        write(path, brought)
        say(f"the API's user is {username}, with the password of AUTH_PASSWORD_FILE")
    elif kept not in ("", DEVELOPMENT_PASSWORD):
        say(f"the API's user is {username}; its password: {how_to_read}")
    elif only_this_host:
        write(path, DEVELOPMENT_PASSWORD)
        say(f"the API's user is {username}:{DEVELOPMENT_PASSWORD}, only while on {bind_address}")
    else:
        path.unlink(missing_ok=True)
        keep_or_make(path)
        say(f"the API's user is {username}; its password: {how_to_read}")
    default = path.read_text(encoding="utf-8") == DEVELOPMENT_PASSWORD
    write(SERVICE / "app_env", "development" if default else "production")


def main() -> None:
    """Make what is missing."""
    os.umask(0o077)
    make_database_secrets()
    make_webhook_secret()
    make_api_password(
        os.environ.get("BIND_ADDRESS") or "127.0.0.1", os.environ.get("AUTH_USERNAME") or "admin"
    )


if __name__ == "__main__":
    main()

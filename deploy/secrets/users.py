"""MySQL's accounts: each with what its part of the stack does, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

DATABASE = "orders"

# A mysqld init file holds one statement a line; these are run again at each start.
_GRANTS = {
    "migrator": (
        f"SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON `{DATABASE}`.*",
    ),
    # The service deletes nothing.
    "service": (f"SELECT, INSERT, UPDATE ON `{DATABASE}`.*",),
    "backup": (
        f"SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON `{DATABASE}`.*",
        "RELOAD, REPLICATION CLIENT, REPLICATION SLAVE ON *.*",
    ),
}
NAMES = tuple(_GRANTS)


def users_sql(passwords: Mapping[str, str]) -> str:
    """Return the statements that make the database and its accounts what they should be."""
    lines = [f"CREATE DATABASE IF NOT EXISTS `{DATABASE}` CHARACTER SET utf8mb4;"]
    for name, grants in _GRANTS.items():
        user = f"'{name}'@'%'"
        identified = f"IDENTIFIED BY '{passwords[name]}'"
        lines.append(f"CREATE USER IF NOT EXISTS {user} {identified};")
        lines.append(f"ALTER USER {user} {identified};")
        lines.append(f"REVOKE IF EXISTS ALL PRIVILEGES, GRANT OPTION FROM {user};")
        lines.extend(f"GRANT {grant} TO {user};" for grant in grants)
    return "\n".join(lines) + "\n"


def client_cnf(name: str, password: str) -> str:
    """Return an options file for MySQL's own clients."""
    return f"[client]\nuser={name}\npassword={password}\nhost=127.0.0.1\nprotocol=tcp\n"


def database_url(name: str, password: str) -> str:
    """Return the DATABASE_URL of an account."""
    return f"mysql+pymysql://{name}:{password}@mysql:3306/{DATABASE}"

"""MySQL's accounts: each with what its part of the stack does, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping

DATABASE = "orders"
ROOT = "root"
# `address:port`, comma-separated, of a database that hosts share; empty where it is this host's.
SERVERS = os.environ.get("DATABASE_SERVERS", "")
# Where containers find the authority that they verify such a database with.
CA = "/run/secrets/database_ca.pem"

# A mysqld init file holds one statement a line; these are run again at each start.
_GRANTS = {
    "migrator": (
        f"SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON `{DATABASE}`.*",
    ),
    "service": (f"SELECT, INSERT, UPDATE, DELETE ON `{DATABASE}`.*",),
    "backup": (
        f"SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON `{DATABASE}`.*",
        "RELOAD, REPLICATION CLIENT, REPLICATION SLAVE ON *.*",
    ),
}
# Where several servers are a group: how one recovers from another, and who changes accounts from a
# host whose own server takes no writes. `root` is let in on the host itself alone.
_OF_A_GROUP = {
    "replication": (
        "REPLICATION SLAVE, CONNECTION_ADMIN, BACKUP_ADMIN, GROUP_REPLICATION_STREAM ON *.*",
    ),
    "admin": ("ALL ON *.*",),
}
_MAY_GRANT = "admin"
GROUPED = "," in SERVERS
if GROUPED:
    _GRANTS |= _OF_A_GROUP
NAMES = tuple(_GRANTS)
# Passwords are changed on this server alone: a binary log that is replayed elsewhere, or later,
# must not bring one back. Several servers have them from one another by that log.
_UNLOGGED = f"SET SESSION sql_log_bin = {int(GROUPED)};"


def users_sql(passwords: Mapping[str, str]) -> str:
    """Return the statements that make the database and its accounts what they should be.

    For MySQL's start, before anyone is connected.
    """
    return "\n".join(_statements(passwords, revoke=True)) + "\n"


def live_users_sql(passwords: Mapping[str, str]) -> str:
    """Return the same for a server at work, where nothing is taken away for a moment.

    What a release needs no longer, its predecessor may: it ends with MySQL's next start.
    """
    return "\n".join([_UNLOGGED, *_statements(passwords, revoke=False)]) + "\n"


def _statements(passwords: Mapping[str, str], *, revoke: bool) -> list[str]:
    lines = [f"CREATE DATABASE IF NOT EXISTS `{DATABASE}` CHARACTER SET utf8mb4;"]
    for name, grants in _GRANTS.items():
        user = _user(name)
        identified = f"IDENTIFIED BY '{passwords[name]}'"
        lines.append(f"CREATE USER IF NOT EXISTS {user} {identified};")
        # A restore that was cut off may have left it locked.
        lines.append(f"ALTER USER {user} {identified} ACCOUNT UNLOCK;")
        if revoke:
            lines.append(f"REVOKE IF EXISTS ALL PRIVILEGES, GRANT OPTION FROM {user};")
        option = " WITH GRANT OPTION" if name == _MAY_GRANT else ""
        lines.extend(f"GRANT {grant} TO {user}{option};" for grant in grants)
    return lines


def change_sql(name: str, password: str) -> str:
    """Return the statements that give an account a second password beside its present one."""
    change = f"ALTER USER {_user(name)} IDENTIFIED BY '{password}' RETAIN CURRENT PASSWORD;"
    return f"{_UNLOGGED}\n{change}\n"


def discard_sql() -> str:
    """Return the statements that end the accounts' former passwords."""
    users = map(_user, (*NAMES, ROOT))
    return "\n".join([_UNLOGGED, *(f"ALTER USER {u} DISCARD OLD PASSWORD;" for u in users)]) + "\n"


def _user(name: str) -> str:
    return f"'{name}'@'{'localhost' if name == ROOT else '%'}'"


def recovery_sql(passwords: Mapping[str, str]) -> str:
    """Return the statement that tells a group's member how to recover from another one."""
    return (
        "CHANGE REPLICATION SOURCE TO SOURCE_USER='replication',"
        f" SOURCE_PASSWORD='{passwords['replication']}'"
        " FOR CHANNEL 'group_replication_recovery';\n"
    )


def client_cnf(name: str, password: str) -> str:
    """Return an options file for MySQL's own clients.

    Root has the socket only; `admin` goes to other hosts, whose names are verified.
    """
    ways = {
        ROOT: "protocol=socket",
        "admin": "protocol=tcp\nssl-mode=VERIFY_IDENTITY\nssl-ca=/run/tls/ca.crt",
    }
    way = ways.get(name, "host=127.0.0.1\nprotocol=tcp")
    return f"[client]\nuser={name}\npassword={password}\n{way}\n"


def database_url(name: str, password: str) -> str:
    """Return the DATABASE_URL of an account.

    Where hosts share the database it goes by TLS, to a server that proves its name. Inside a host
    it goes without: nobody listens in between, and encrypting it is not for free.
    """
    there = f"{SERVERS}/{DATABASE}?ssl_ca={CA}"
    here = f"mysql:3306/{DATABASE}?ssl_disabled=true"
    return f"mysql+pymysql://{name}:{password}@{there if SERVERS else here}"

"""The settings that Compose reads on this host, and what the host is there for.

PARTS is a list of `web` (nginx and the service), `worker` (processors alone) and `database` (MySQL
and its backups). A host that is alone has no such line, and is the web and the database.
"""

from __future__ import annotations

from order_service.host import STACK

PATH = STACK / ".env"
WEB, WORKER, DATABASE = "web", "worker", "database"
ALONE = (WEB, DATABASE)


def dotenv() -> dict[str, str]:
    """Return the settings by their names; none before the first deployment."""
    lines = PATH.read_text(encoding="utf-8").splitlines() if PATH.exists() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


def has_part(part: str) -> bool:
    """Return whether this host is there for that."""
    return part in (_listed("PARTS") or ALONE)


def head() -> str:
    """Return the host that makes the secrets and runs the migrations; empty if it is this one."""
    return dotenv().get("HEAD", "")


def database_servers() -> list[str]:
    """Return `address:port` of the database that hosts share; empty if it is this host's alone."""
    return _listed("DATABASE_SERVERS")


def balancers() -> list[str]:
    """Return the addresses of the inventory's hosts that send clients to this one."""
    return _listed("BALANCERS")


def has_external_database() -> bool:
    """Return whether somebody else runs the database."""
    return bool(database_servers()) and not (has_part(DATABASE) or head())


def keeps_backups() -> bool:
    """Return whether this host makes the database's backups: it has it, or is the head where
    somebody else has it."""
    return has_part(DATABASE) or not head()


def _listed(name: str) -> list[str]:
    return [item for item in dotenv().get(name, "").split(",") if item]

"""SQL that reads the schema's revision."""

from __future__ import annotations

from sqlalchemy import Connection, text


def read_revision(connection: Connection) -> str | None:
    """Return the revision that the database is at, or None when it never was migrated."""
    revision: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar()
    return revision

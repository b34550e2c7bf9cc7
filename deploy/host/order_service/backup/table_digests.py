"""Row counts and checksums of tables, by which a restored copy is compared with the original."""

from __future__ import annotations

from typing import TypedDict

from order_service.backup.mysql_session import Session
from order_service.backup.settings import BackupError


class Digest(TypedDict):
    """A table's number of rows, and a checksum of them that no order of rows changes."""

    rows: int
    checksum: str


def digests(session: Session, schema: str) -> dict[str, Digest]:
    """Return the digest of each table of the schema, as the session's snapshot has them.

    Raises:
        BackupError: MySQL refused.
    """
    columns: dict[str, list[str]] = {}
    for table, column in session.query(
        "SELECT c.TABLE_NAME, c.COLUMN_NAME FROM information_schema.COLUMNS c"  # noqa: S608
        " JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)"
        f" WHERE c.TABLE_SCHEMA = '{schema}' AND t.TABLE_TYPE = 'BASE TABLE'"
        " ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION"
    ):
        columns.setdefault(table, []).append(column)
    return {table: _digest(session, schema, table, columns[table]) for table in columns}


def _digest(session: Session, schema: str, table: str, columns: list[str]) -> Digest:
    """Combine a hash of each row. Rows differ by their primary key, so none cancels another."""
    values = ", ".join(f"IFNULL(HEX(CAST(`{column}` AS BINARY)), '-')" for column in columns)
    if not columns:
        raise BackupError(f"the table {table} has no columns that its account may read")
    ((rows, checksum),) = session.query(
        "SELECT COUNT(*), LPAD(HEX(BIT_XOR(CAST(CONV(LEFT(SHA2("  # noqa: S608 - names of ours
        f"CONCAT_WS(',', '{table}', {values}), 256), 16), 16, 10) AS UNSIGNED))), 16, '0')"
        f" FROM `{schema}`.`{table}`"
    )
    return Digest(rows=int(rows), checksum=checksum.lower())


def differences(expected: dict[str, Digest], found: dict[str, Digest]) -> list[str]:
    """Return one line for each table that is not what was expected."""
    problems = []
    for table in sorted(expected.keys() | found.keys()):
        before, after = expected.get(table), found.get(table)
        if before == after:
            continue
        if before is None or after is None:
            problems.append(f"{table} is {'missing' if after is None else 'not expected'}")
        elif before["rows"] != after["rows"]:
            problems.append(f"{table} has {after['rows']} rows, expected {before['rows']}")
        else:
            problems.append(f"{table} has other contents (its checksum differs)")
    return problems

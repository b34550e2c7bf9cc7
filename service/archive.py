"""The archive: finished orders, moved from the tables to files.

A file is written whole, with its checksum, before its orders are deleted, in the transaction that
has them locked; until that is committed, `.pending` names the file. A run that was cut off left a
file of which nobody knows whether that was: the next run looks whether its orders are still in the
tables, and if they are, it drops the file. So no order is lost, and none is in two files.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import simplejson
from sqlalchemy import Connection, RowMapping

from service.storage import archive as dao
from service.storage.database import Database
from service.storage.moments import format_moment, parse_moment

# Rows that are looked at for one file, in one transaction.
ROWS = 2000
SUFFIX, CHECKSUM, PARTIAL = ".jsonl.gz", ".sha256", ".partial"
LOCK, PENDING = ".lock", ".pending"


class ArchiveError(Exception):
    """The archive's folder cannot be used; the message is for the operator."""


class Archiver:
    """Moves finished orders to files in `folder`."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._pending = folder / PENDING

    def run(self, seconds: float) -> Iterator[tuple[Path, int]]:
        """Move the orders that were finished so many seconds ago; yield each file and its orders.

        Raises:
            ArchiveError: the folder cannot be used, another run uses it, or a file is damaged.
        """
        with self._locked():
            self._finish_former_run()
            before = self._database.statement(lambda its: dao.moment_before(its, seconds))
            after: int | None = 0
            while True:
                found, after = self._look(after or 0, before)
                if after is None:
                    return
                if not found:
                    continue
                written = self._database.transaction(
                    lambda connection: self._move(connection, found, before)  # noqa: B023
                )
                self._pending.unlink(missing_ok=True)
                if written is not None:
                    yield written

    def _look(self, after: int, before: datetime) -> tuple[list[int], int | None]:
        return self._database.statement(
            lambda connection: dao.next_rows(connection, after, before, ROWS)
        )

    def _move(
        self, connection: Connection, row_ids: Sequence[int], before: datetime
    ) -> tuple[Path, int] | None:
        # Of an earlier try, which was rolled back.
        self._discard_pending()
        rows = dao.lock_finished(connection, row_ids, before)
        if not rows:
            return None
        attempts = dao.list_attempts_at(connection, [row["id"] for row in rows])
        lines = [_encode(_order(row, attempts.get(row["id"], []))) for row in rows]
        file = self._free_name(rows[0]["id"], rows[-1]["id"])
        _write(self._pending, file.name.encode())
        data = gzip.compress(b"".join(lines), mtime=0)
        _write(file, data)
        # It makes the file count.
        _write(_checksum_of(file), f"{hashlib.sha256(data).hexdigest()}  {file.name}\n".encode())
        dao.delete_orders(connection, [row["id"] for row in rows])
        return file, len(rows)

    def _free_name(self, first: int, last: int) -> Path:
        # After a restore to an earlier moment the same rows may come again.
        for number in count(1):
            again = f"-{number}" if number > 1 else ""
            file = self._folder / f"orders-{first:019d}-{last:019d}{again}{SUFFIX}"
            if not file.exists():
                return file
        raise AssertionError("unreachable")

    def _finish_former_run(self) -> None:
        for partial in self._folder.glob(f"*{PARTIAL}"):
            partial.unlink()
        file = self._pending_file()
        if file is not None and _checksum_of(file).exists():
            stored = {order["id"]: parse_moment(order["updated_at"]) for order in read(file)}
            if self._database.transaction(lambda connection: _is_needed(connection, stored)):
                self._pending.unlink()
        self._discard_pending()

    def _pending_file(self) -> Path | None:
        if not self._pending.exists():
            return None
        return self._folder / self._pending.read_text()

    def _discard_pending(self) -> None:
        file = self._pending_file()
        if file is not None:
            _checksum_of(file).unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            self._pending.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            descriptor = os.open(self._folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as problem:
            raise ArchiveError(f"cannot write to {self._folder} ({problem.strerror})") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveError(
                f"another run archives to {self._folder}; wait for its end"
            ) from None
        else:
            yield
        finally:
            os.close(descriptor)


def read(file: Path) -> list[dict[str, Any]]:
    """Return the orders of an archived file.

    Raises:
        ArchiveError: it is damaged, or not there.
    """
    try:
        data = file.read_bytes()
        checksum = _checksum_of(file).read_text()
    except OSError as problem:
        raise ArchiveError(f"cannot read {file} ({problem.strerror})") from None
    if hashlib.sha256(data).hexdigest() != checksum.partition(" ")[0]:
        raise ArchiveError(f"{file} is damaged: its checksum is not that of {file.name}{CHECKSUM}")
    lines = gzip.decompress(data).splitlines()
    return [simplejson.loads(line, use_decimal=True) for line in lines]


def _is_needed(connection: Connection, stored: dict[int, datetime]) -> bool:
    """Return whether a file holds orders, by row and last change, that are nowhere else.

    They were deleted all together, or none was. Some are there only after a restore to an earlier
    moment: those that are as they were are deleted again.
    """
    there = dao.find_stored(connection, stored)
    if len(there) == len(stored):
        return False
    unchanged = [row_id for row_id, changed in there.items() if changed == stored[row_id]]
    if unchanged:
        dao.delete_orders(connection, unchanged)
    return True


def _order(row: RowMapping, attempts: Sequence[RowMapping]) -> dict[str, Any]:
    order = _plain(row)
    order["attempt_list"] = [
        {name: value for name, value in _plain(one).items() if name not in ("id", "order_row")}
        for one in attempts
    ]
    return order


def _plain(row: RowMapping) -> dict[str, Any]:
    return {
        name: format_moment(value) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def _encode(order: dict[str, Any]) -> bytes:
    line: str = simplejson.dumps(order, use_decimal=True, separators=(",", ":"))
    return line.encode() + b"\n"


def _checksum_of(file: Path) -> Path:
    return file.with_name(file.name + CHECKSUM)


def _write(file: Path, data: bytes) -> None:
    """Write a file, whole and durable."""
    partial = file.with_name(file.name + PARTIAL)
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

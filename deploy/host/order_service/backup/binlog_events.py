"""When each transaction of a binary log was committed, and where in the file it ends.

MySQL's own `mysqlbinlog` would tell, but the official image leaves it out. The format: the
chapter "Binary Log Event" of MySQL's source documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from order_service.backup.settings import BackupError

MAGIC = b"\xfebin"
_ENCRYPTED = b"\xfdbin"
# Seconds since 1970, type, server, length with this header, end's position, flags.
_HEADER = struct.Struct("<IBIIIH")
_BEGINS = {33, 34, 42}  # GTID, anonymous GTID, tagged GTID
_TAGGED = 42
# Rotate, stop, format description and previous GTIDs: events of the file, not of a transaction.
_OF_THE_FILE = {3, 4, 15, 35}
# In a GTID event's body: microseconds of the commit on this server, in 7 bytes of which one bit
# says that as many follow, of the commit on the server where it came first.
_COMMIT_TIME, _FIRST_COMMIT_TIME = slice(42, 49), slice(49, 56)
_CAME_FIRST_ELSEWHERE = 1 << 55
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Transaction:
    """One transaction, or one statement that commits by itself; when that was for its client."""

    committed: datetime
    end: int


def transactions(path: Path) -> Iterator[Transaction]:
    """Give the transactions of a binary log in their order.

    Raises:
        BackupError: the file is no binary log, is encrypted by MySQL, or is cut off.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        if magic == _ENCRYPTED:
            raise BackupError(f"{path.name} is encrypted by MySQL; set binlog_encryption = OFF")
        if magic != MAGIC:
            raise BackupError(f"{path.name} is not a binary log: it begins with {magic!r}")
        committed, end = None, 0
        for kind, seconds, body, position in _events(file, path.name):
            if committed is not None and (kind in _BEGINS or kind in _OF_THE_FILE):
                yield Transaction(committed, end)
                committed = None
            if kind in _BEGINS:
                committed = _commit_time(kind, seconds, body)
            end = position
        if committed is not None:
            yield Transaction(committed, end)


def _events(file: BinaryIO, name: str) -> Iterator[tuple[int, int, bytes, int]]:
    """Give each event's type, time in seconds, beginning of its body, and end in the file."""
    position = len(MAGIC)
    while header := file.read(_HEADER.size):
        if len(header) < _HEADER.size:
            raise BackupError(f"{name} is cut off at {position}")
        seconds, kind, _, length, _, _ = _HEADER.unpack(header)
        body = file.read(length - _HEADER.size) if length >= _HEADER.size else b""
        if len(body) != length - _HEADER.size:
            raise BackupError(f"{name} is cut off or damaged at {position}")
        position += length
        yield kind, seconds, body[: _FIRST_COMMIT_TIME.stop], position


def _commit_time(kind: int, seconds: int, body: bytes) -> datetime:
    # A tagged GTID, which only a client that asks for tags makes, is packed otherwise.
    if kind == _TAGGED:
        return _EPOCH + timedelta(seconds=seconds)
    microseconds = int.from_bytes(body[_COMMIT_TIME], "little")
    if microseconds & _CAME_FIRST_ELSEWHERE:
        microseconds = int.from_bytes(body[_FIRST_COMMIT_TIME], "little")
    return _EPOCH + timedelta(microseconds=microseconds)

"""Binary logs, byte by byte: where each transaction ends, and when it was committed."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from order_service.backup.binlog_events import MAGIC, Transaction, transactions
from order_service.backup.settings import BackupError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORMAT, QUERY, XID, ROTATE, GTID, TAGGED = 15, 2, 16, 4, 33, 42


def event(kind: int, body: bytes = b"", seconds: int = 100) -> bytes:
    return struct.pack("<IBIIIH", seconds, kind, 1, 19 + len(body), 0, 0) + body


def gtid(microseconds: int, *, committed_first: int = 0) -> bytes:
    stamp = microseconds | (bool(committed_first) << 55)
    stamps = stamp.to_bytes(7, "little") + committed_first.to_bytes(7, "little")
    return event(GTID, bytes(42) + stamps + bytes(2))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "binlog.000001"


def read(log: Path, *events: bytes) -> list[Transaction]:
    log.write_bytes(MAGIC + b"".join(events))
    return list(transactions(log))


def test_a_transaction_reaches_to_its_last_event(log: Path) -> None:
    first = [gtid(1_500_000), event(QUERY, b"BEGIN"), event(XID, bytes(8))]
    second = [gtid(2_000_000), event(QUERY, b"DROP TABLE t")]
    head = event(FORMAT, bytes(80))
    found = read(log, head, *first, *second, event(ROTATE, b"binlog.000002"))
    after_first = len(MAGIC + head) + sum(map(len, first))
    assert found == [
        Transaction(EPOCH + timedelta(seconds=1.5), after_first),
        Transaction(EPOCH + timedelta(seconds=2), after_first + sum(map(len, second))),
    ]


def test_the_last_transaction_may_be_at_the_end_of_the_file(log: Path) -> None:
    found = read(log, event(FORMAT), gtid(1), event(XID))
    assert [one.end for one in found] == [log.stat().st_size]


def test_a_transaction_that_was_replicated_has_the_time_at_which_its_client_had_it(
    log: Path,
) -> None:
    (found,) = read(log, gtid(4_000_000, committed_first=3_000_000), event(XID))
    assert found.committed == EPOCH + timedelta(seconds=3)


def test_a_tagged_transaction_has_the_time_of_its_event(log: Path) -> None:
    (found,) = read(log, event(TAGGED, bytes(60), seconds=7), event(XID))
    assert found.committed == EPOCH + timedelta(seconds=7)


def test_a_log_without_transactions_has_none(log: Path) -> None:
    assert read(log, event(FORMAT), event(ROTATE)) == []


@pytest.mark.parametrize("cut", [1, 18, 25])
def test_a_log_that_is_cut_off_is_refused(log: Path, cut: int) -> None:
    log.write_bytes(MAGIC + (event(FORMAT) + gtid(1))[: 19 + cut])
    with pytest.raises(BackupError, match=r"binlog\.000001 is cut off"):
        list(transactions(log))


@pytest.mark.parametrize(
    ("content", "problem"), [(b"\xfdbin", "encrypted by MySQL"), (b"text", "not a binary log")]
)
def test_another_file_is_refused(log: Path, content: bytes, problem: str) -> None:
    log.write_bytes(content)
    with pytest.raises(BackupError, match=problem):
        list(transactions(log))

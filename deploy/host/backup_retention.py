"""Which backups have had their time: decided by their names alone, so here and off the host."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from backup_store import Copy, parse_time


def expired_backups(
    backups: Iterable[str], now: datetime, keep_days: int, keep_at_least: int
) -> list[str]:
    """Return the full backups to remove: too old, and not among the newest that always stay."""
    newest_first = sorted(backups, reverse=True)
    limit = now - timedelta(days=keep_days)
    return sorted(one for one in newest_first[keep_at_least:] if parse_time(one) < limit)


def expired_copies(copies: Iterable[Copy], kept_backups: Iterable[str]) -> list[Copy]:
    """Return the copied binary logs that end before the oldest full backup that is kept begins."""
    kept = sorted(kept_backups)
    if not kept:
        return []
    oldest = parse_time(kept[0])
    return [copy for copy in copies if copy.copied_at < oldest]

"""Which backups have had their time: decided by the same rules here and off the host.

Each MySQL server's backups are counted for themselves: the empty ones of a host that was set up
anew push out none of the lost host's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from order_service.backup.settings import Settings
from order_service.backup.store import Copy, Store, parse_time


def expired(store: Store, settings: Settings, now: datetime) -> tuple[list[str], list[Copy]]:
    """Return the full backups and the copied binary logs of a store that have had their time."""
    servers = store.servers()
    backups = expired_backups(servers, now, settings.keep_days, settings.keep_at_least)
    kept = {backup: server for backup, server in servers.items() if backup not in backups}
    return backups, expired_copies(store.copies(), kept)


def expired_backups(
    servers: Mapping[str, str], now: datetime, keep_days: int, keep_at_least: int
) -> list[str]:
    """Return the full backups to remove: too old, and not among the newest that always stay.

    Args:
        servers: the server of each full backup that can be restored.
    """
    limit = now - timedelta(days=keep_days)
    expired = []
    for server in set(servers.values()):
        newest_first = sorted((one for one in servers if servers[one] == server), reverse=True)
        expired += [one for one in newest_first[keep_at_least:] if parse_time(one) < limit]
    return sorted(expired)


def expired_copies(copies: Iterable[Copy], kept: Mapping[str, str]) -> list[Copy]:
    """Return the copied binary logs that end before their server's oldest kept backup begins.

    Args:
        kept: the server of each full backup that is kept. A server without one is measured by the
            oldest of all.
    """
    if not kept:
        return []
    oldest: dict[str, str] = {}
    for backup in sorted(kept):
        oldest.setdefault(kept[backup], backup)
    begin = {server: parse_time(backup) for server, backup in oldest.items()}
    first = min(begin.values())
    return [copy for copy in copies if copy.copied_at < begin.get(copy.server_uuid, first)]

"""Which backups have had their time: decided by the same rules here and off the host.

Each history's backups are counted for themselves: the empty ones of a host that was set up anew
push out none of the lost host's. A history is that of one MySQL server, or of a group of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from order_service.backup.gtids import Gtids
from order_service.backup.settings import Settings
from order_service.backup.store import Copy, Manifest, Store, parse_time


def expired(store: Store, settings: Settings, now: datetime) -> tuple[list[str], list[Copy]]:
    """Return the full backups and the copied binary logs of a store that have had their time."""
    manifests = store.manifests()
    backups = expired_backups(histories(manifests), now, settings.keep_days, settings.keep_at_least)
    kept = {name: one["server_uuid"] for name, one in manifests.items() if name not in backups}
    copies = store.copies()
    if not store.ids():  # another member of the group makes them
        limit = now - timedelta(days=settings.keep_days)
        return backups, [copy for copy in copies if copy.copied_at < limit]
    return backups, expired_copies(copies, kept)


def histories(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """Return whose history each backup is of, by the server that the first one was of.

    The members of a group have one history: the same transactions, by their GTIDs.
    """
    found: list[tuple[str, set[str]]] = []
    named = {}
    for backup, one in manifests.items():
        sources = Gtids.parse(one["gtid_executed"]).sources | {one["server_uuid"]}
        known = next((history for history in found if history[1] & sources), None)
        if known is None:
            known = (one["server_uuid"], set())
            found.append(known)
        known[1].update(sources)
        named[backup] = known[0]
    return named


def expired_backups(
    named: Mapping[str, str], now: datetime, keep_days: int, keep_at_least: int
) -> list[str]:
    """Return the full backups to remove: too old, and not among the newest that always stay.

    Args:
        named: whose history each full backup is of that can be restored.
    """
    limit = now - timedelta(days=keep_days)
    expired = []
    for name in set(named.values()):
        newest_first = sorted((one for one in named if named[one] == name), reverse=True)
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

"""The binary logs that lead from a full backup to a moment, of the same server or of others.

The copies of one server follow each other by their numbers. Where they end, since its host is lost
or another one has taken its place, those of another member of the group lead on: each says by GTIDs
what was committed before it and up to its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from order_service.backup.gtids import Gtids
from order_service.backup.settings import BackupError
from order_service.backup.store import Copy, Manifest, Store, binlog_number, parse_time


@dataclass(frozen=True)
class Link:
    """A copy, and what its server had before it and after it; None where that was not noted.

    What was committed before `complete_until` is in it or its elders. Of several that were copied
    at once only the last one comes as far as the moment of its copy. Older copies do not say which
    that was, so there it is the last commit in it.
    """

    copy: Copy
    before: Gtids | None
    after: Gtids | None
    complete_until: datetime | None

    @classmethod
    def of(cls, store: Store, copy: Copy) -> Link:
        """Return what is written down about a copy."""
        try:
            facts = store.copy_facts(copy)
        except BackupError:  # it is told where the copy is needed
            return cls(copy, None, None, copy.copied_at)
        texts = (facts.get("gtids_before"), facts.get("gtids_after"))
        before, after = (None if text is None else Gtids.parse(text) for text in texts)
        copied = copy.copied_at.isoformat()
        until = facts.get("complete_until", facts.get("last_commit", copied))
        return cls(copy, before, after, datetime.fromisoformat(until) if until else None)


@dataclass
class Chain:
    """Copies to be replayed one after the other, and what they come to."""

    store: Store
    manifest: Manifest
    copies: list[Copy] = field(default_factory=list)

    def __post_init__(self) -> None:
        log = self.manifest["binlog"]["file"]
        first = binlog_number(log) if log else 0  # somebody else's binary logs are not here
        # The next log of the server whose logs are followed.
        self._next = (self.manifest["server_uuid"], first)
        self._links = {
            (copy.server_uuid, copy.number): Link.of(self.store, copy)
            for copy in self.store.copies()
            if copy.copied_at >= since(self.manifest)
        }
        self._has = Gtids.parse(self.manifest["gtid_executed"])
        self._reached = parse_time(self.manifest["id"])
        # Not after a copy of which that was not noted.
        self._knows_all_it_has = True

    def extend(self, moment: datetime | None) -> None:
        """Add copies until they reach the moment; all of them where it is None."""
        while link := self._following():
            del self._links[link.copy.server_uuid, link.copy.number]
            self.copies.append(link.copy)
            self._next = (link.copy.server_uuid, link.copy.number + 1)
            self._has |= (link.before or Gtids()) | (link.after or Gtids())
            self._knows_all_it_has = link.after is not None
            self._reached = max(self._reached, link.complete_until or self._reached)
            if moment and link.complete_until and link.complete_until >= moment:
                return

    def reached(self) -> datetime:
        """Return the moment before which everything is in the backup and these copies."""
        had = [link.complete_until for link in self._links.values() if self._has_all_of(link)]
        return max([self._reached, *filter(None, had)])

    def has_all_that(self, server_uuid: str | None, executed: str | None) -> bool:
        """Return whether a server that has committed this has nothing besides."""
        if self._knows_all_it_has:
            return Gtids.parse(executed) <= self._has
        return server_uuid == self._next[0]

    def missing(self) -> str:
        """Say what is missing between these and others that come after; empty if nothing is."""
        server, number = self._next
        for link in sorted(self._links.values(), key=lambda link: link.copy.copied_at):
            if self._has_all_of(link):
                continue
            if link.copy.server_uuid == server and link.copy.number > number:
                return f"the copy of {link.copy.log.rpartition('.')[0]}.{number:06} is missing"
            if link.before is not None and self._is_related(link):
                return f"no copy has the transactions {link.before - self._has}"
        return ""

    def _following(self) -> Link | None:
        """Return a copy that leads on; of the server that was followed so far, if it has one."""
        own = self._links.get(self._next)
        if own and (own.before is None or not self._knows_all_it_has or own.before <= self._has):
            return own
        return next((link for link in self._links.values() if self._leads_on(link)), None)

    def _leads_on(self, link: Link) -> bool:
        return (
            link.before is not None
            and link.before <= self._has
            and self._is_related(link)
            and not self._has_all_of(link)
        )

    def _has_all_of(self, link: Link) -> bool:
        return link.after is not None and self._is_related(link) and link.after <= self._has

    def _is_related(self, link: Link) -> bool:
        """Return whether its server's transactions are some of these, and not another shop's."""
        return link.after is not None and bool(link.after.sources & self._has.sources)


def since(manifest: Manifest) -> datetime:
    """Return since when copies may have what the backup has not: that of a log is named by the
    moment at which it was begun, and the log ends later."""
    return parse_time(manifest["id"]) - timedelta(hours=1)

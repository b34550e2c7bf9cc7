"""What a restore needs: one full backup, and the binary logs from there to the wanted moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from order_service.backup.files import check_file, check_identity
from order_service.backup.retention import histories
from order_service.backup.settings import BackupError
from order_service.backup.store import (
    BEFORE_RESTORE,
    Copy,
    Manifest,
    PackedFile,
    Store,
    parse_time,
    sidecar,
)
from order_service.restore.chain import Chain, since

LATEST = "latest"


@dataclass(frozen=True)
class Plan:
    """What is loaded and replayed; `until` is None where everything is replayed, or nothing."""

    manifest: Manifest
    copies: list[Copy] = field(default_factory=list)
    until: datetime | None = None

    def paths(self, store: Store) -> list[str]:
        """Return where in the store the files are that this needs, besides the manifest."""
        found = [store.dump(self.manifest)]
        if secrets := store.secrets(self.manifest):
            found.append(secrets)
        for copy in map(store.copy_path, self.copies):
            found += [copy, sidecar(copy)]
        return [str(path.relative_to(store.folder)) for path in found]


def parse_until(text: str) -> datetime:
    """Return the moment that the operator named, in UTC.

    Raises:
        BackupError: it is not a time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BackupError(
            f"restore_until is {text!r}; expected {LATEST}, or a time in UTC such as"
            " 2026-11-22T10:15:00"
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def choose(store: Store, backup: str | None, until: str | None, *, foreign: bool = False) -> Plan:
    """Choose what to restore: the named or the newest backup, alone or with binary logs.

    Without `until` it is the backup itself; and the newest one is not one of what another restore
    was about to replace, which has to be named. In a `foreign` store, which may have the backups
    of several servers, the newest is taken only where all are one server's.

    Raises:
        BackupError: there is no such backup, or its binary logs have a gap or end too early.
    """
    manifest = choose_backup(store, backup, until, foreign=foreign)
    if until is None:
        return Plan(manifest)
    moment = _moment(until)
    return Plan(manifest, _logs(store, manifest, moment), moment)


def choose_backup(
    store: Store, backup: str | None, until: str | None, *, foreign: bool = False
) -> Manifest:
    """Choose the full backup, as `choose` does; what is known of binary logs is not needed."""
    if until is None:
        return store.manifest(backup or _newest(store, foreign))
    moment = _moment(until)
    manifest = store.manifest(backup or _newest_before(store, moment, foreign))
    if moment and parse_time(manifest["id"]) >= moment:
        raise BackupError(f"the backup {manifest['id']} is not older than {until}; name another")
    return manifest


def notes(store: Store, manifest: Manifest) -> list[str]:
    """Return where in the store it is noted what the binary logs have that may be replayed."""
    copies = (copy for copy in store.copies() if copy.copied_at >= since(manifest))
    paths = {sidecar(store.copy_path(copy)) for copy in copies}
    return sorted(str(path.relative_to(store.folder)) for path in paths)


def _moment(until: str) -> datetime | None:
    return None if until == LATEST else parse_until(until)


def check(store: Store, plan: Plan) -> None:
    """Compare each file with what was written, before anything is touched.

    Raises:
        BackupError: one is missing, truncated or altered.
    """
    expected: list[tuple[Path, PackedFile]] = [(store.dump(plan.manifest), plan.manifest)]
    if (secrets := store.secrets(plan.manifest)) and (facts := plan.manifest.get("secrets")):
        expected.append((secrets, facts))
    expected += [(store.copy_path(copy), store.copy_facts(copy)) for copy in plan.copies]
    for path, written in expected:
        check_file(path, written["bytes"], written["sha256"])


def check_key(store: Store, plan: Plan, identity: Path | None) -> None:
    """Refuse encrypted files without their private key, before anything is touched.

    Raises:
        BackupError: it is needed, and not there.
    """
    for path in (store.dump(plan.manifest), *map(store.copy_path, plan.copies)):
        check_identity(path, identity)


def _newest(store: Store, foreign: bool) -> str:
    found = [one for one in _candidates(store, foreign) if one["kind"] != BEFORE_RESTORE]
    if not found:
        raise BackupError(f"there is no backup in {store.folder} that can be read")
    return found[-1]["id"]


def _candidates(store: Store, foreign: bool) -> list[Manifest]:
    """Leave out backups without an order: the first of a host that is there to be restored to."""
    every = list(store.manifests().values())
    filled = [
        one for one in every if "orders" not in one["tables"] or one["tables"]["orders"]["rows"]
    ]
    found = filled or every
    of = histories(store.manifests())
    newest = {of[one["id"]]: one for one in found}
    if foreign and len(newest) > 1:
        said = "; ".join(f"{one['id']} of {one['host']}" for one in newest.values())
        raise BackupError(
            f"these are backups of {len(newest)} servers, so none is the newest; name one by"
            f" restore_backup: {said}"
        )
    return found


def _newest_before(store: Store, moment: datetime | None, foreign: bool) -> str:
    # The backup of the very second may have what came after the moment.
    every = [one["id"] for one in _candidates(store, foreign)]
    older = [one for one in every if moment is None or parse_time(one) < moment]
    if not older:
        first = next(iter(store.ids()), None)
        raise BackupError(f"no backup is older than {moment}; the oldest is {first or 'none'}")
    return older[-1]


def _logs(store: Store, manifest: Manifest, moment: datetime | None) -> list[Copy]:
    """Return the copies from the backup to the moment, without a gap.

    Raises:
        BackupError: there is one, or the copies end too early.
    """
    found = Chain(store, manifest)
    found.extend(moment)
    reached = found.reached()
    if moment and moment <= reached:
        return found.copies
    if missing := found.missing():
        raise BackupError(
            f"{missing}, so what came after {reached:%Y-%m-%d %H:%M:%S} UTC cannot be replayed;"
            " restore until then at most, or from a newer backup"
        )
    reached = max(reached, _noted(store, found))
    if moment and moment > reached:
        raise BackupError(
            f"the copied binary logs end at {reached:%Y-%m-%d %H:%M:%S} UTC; restore until then at"
            f" most, or until {LATEST}"
        )
    return found.copies


def _noted(store: Store, found: Chain) -> datetime:
    """Return how far the last copying came: while nothing is written there is nothing to copy."""
    noted, begin = store.last("binlog"), found.manifest["id"]
    if not found.has_all_that(noted.get("server_uuid"), noted.get("gtid_executed")):
        return parse_time(begin)
    return parse_until(noted.get("until") or begin)

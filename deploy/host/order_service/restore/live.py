"""Puts what a scratch server has in the place of the live data.

The restored tables are loaded beside the live ones and compared while the service serves. It is
stopped only for the backup of what is replaced and for the one statement that renames the tables
into their place; clients get 503 meanwhile. Where other hosts use the database, too, it is the
database that keeps all of them out. All of it is in MySQL's binary log, so later restores
to a point in time pass over it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from order_service.backup import external, group
from order_service.backup.backup import dump, make_full, open_store, remembered, send_full
from order_service.backup.host_secrets import Packed, bring_back
from order_service.backup.locks import locked
from order_service.backup.mysql_session import Server
from order_service.backup.settings import BackupError, Settings, warn
from order_service.backup.store import AFTER_RESTORE, BEFORE_RESTORE, Store
from order_service.backup.table_digests import Digest, differences, digests
from order_service.containers import wait_until_healthy
from order_service.dotenv import WEB, database_servers, has_part
from order_service.host import STACK, UPSTREAM, CommandError, run
from order_service.program import PLACE
from order_service.release import ledger, maintenance, project
from order_service.release.colours import NAMES, serving
from order_service.restore.scratch_mysql import Scratch
from order_service.restore.writers import END_SECONDS, Writers
from order_service.secrets import api_clients, secret_files

SECONDS = 3600
REASON = "a restore of the live data"
# The containers' stop and start, and a look at the migrations: on two cores.
RESTART_SECONDS = 20
_STOP_SECONDS = "60"
_DOCKER_SECONDS = 120
_HEALTHY_SECONDS = 180
_DUMP = ("--single-transaction", "--set-gtid-purged=OFF", "--no-tablespaces", "--hex-blob",
         "--loose-skip-masking-policies")  # fmt: skip


def estimate(store: Store) -> str:
    """Say for about how long the service will be stopped, by what the last backup took."""
    manifests = list(store.manifests().values())
    if not manifests:
        return "for how long a restore to live stops the service is not known: no backup so far"
    last = manifests[-1]["seconds"]
    return (
        f"a restore to live stops the service for about {last + RESTART_SECONDS:.0f} s: for the"
        f" backup of what is replaced, which took {last:.0f} s last time, and for a restart"
    )


def replace_live(
    settings: Settings,
    scratch: Scratch,
    schema: str,
    wanted: dict[str, Digest],
    *,
    secrets: Packed | None,
    with_backup: bool,
) -> dict[str, Any]:
    """Replace the live tables by the scratch server's, and make a full backup of the result.

    It runs in the deployments' unit: a rollout beside it would start a colour that accepts orders
    into tables that are about to be moved away.

    Args:
        settings: of the backups.
        scratch: has what is to go live.
        schema: whose tables it is.
        wanted: their digests there.
        secrets: a backup's, which replace this host's own, too.
        with_backup: whether what is replaced is backed up first.

    Raises:
        BackupError: it could not be done, and the live data are as they were unless it says else.
        CommandError: a container did not stop or start.
    """
    server = external.server(settings, "root")
    store = open_store(settings)
    stopped = _writers_kept_out(settings) if database_servers() else service_stopped()
    live = settings.database
    beside, replaced = _beside(settings)
    report: dict[str, Any] = {"backup_of_what_was_replaced": None, "replaced": {}}
    try:
        _load_beside(scratch, server, schema, beside, wanted)
        warn(estimate(store))
        # Whatever else makes a backup is waited for before the service is stopped.
        with locked(store.folder, "dump"), stopped as told:
            if with_backup:
                report |= _back_up_replaced(settings, store)
            _swap(server, live, beside, replaced)
            # The migrations' container tells the database one of the secrets.
            if secrets:
                report["secrets"] = bring_back(secrets)
            _migrate()
    finally:
        server.query(f"DROP DATABASE IF EXISTS `{beside}`")
    try:
        late = _written_late(server, replaced, report["replaced"])
        if not late:
            server.query(f"DROP DATABASE IF EXISTS `{replaced}`")
        if secrets:
            _hand_on()
        with remembered(store, "backup") as state:
            make_full(settings, store, AFTER_RESTORE, state)
            send_full(settings, AFTER_RESTORE, state)
    except (BackupError, CommandError, OSError) as problem:
        raise BackupError(
            f"what was restored is live; what came after it failed: {problem}"
        ) from None
    if late:
        raise BackupError(f"what was restored is live; {late}")
    return report | {"backup_after": state["id"]} | told


def _back_up_replaced(settings: Settings, store: Store) -> dict[str, Any]:
    with remembered(store, "backup") as state:
        manifest = dump(settings, store, BEFORE_RESTORE, state)
    return {"backup_of_what_was_replaced": manifest["id"], "replaced": manifest["tables"]}


@contextmanager
def _writers_kept_out(settings: Settings) -> Iterator[dict[str, Any]]:
    """Have no host's service write; gives what to report, as `service_stopped` does."""
    begun = time.monotonic()
    report: dict[str, Any] = {"stopped": []}
    # What has nginx is told by it; the other hosts' services see for themselves.
    with maintenance.closed(REASON), Writers.of(settings).kept_out():
        yield report
    report["stopped_seconds"] = round(time.monotonic() - begun, 1)


@contextmanager
def service_stopped() -> Iterator[dict[str, Any]]:
    """Stop the containers of both colours, in good order; start what nginx sends to in any case.

    That is not what ran before: a restore that was cut off left nothing running. Clients are told
    to come again. Gives what to report, which has the seconds at the end.
    """
    begun = time.monotonic()
    report: dict[str, Any] = {}
    with maintenance.closed(REASON):
        running = [name for colour in NAMES for name in _containers(colour)]
        report["stopped"] = running
        try:
            if running:
                run(["docker", "stop", "-t", _STOP_SECONDS, *running], seconds=_DOCKER_SECONDS)
            yield report
        finally:
            serving_ones = _containers(serving().name, "--all") if UPSTREAM.exists() else []
            if serving_ones:
                # Not `start`: where the stop was cut off, Docker still ends them.
                run(
                    ["docker", "restart", "-t", _STOP_SECONDS, *serving_ones],
                    seconds=_DOCKER_SECONDS,
                )
                _wait_until_healthy(serving_ones)
    report["stopped_seconds"] = round(time.monotonic() - begun, 1)


def _containers(colour: str, *options: str) -> list[str]:
    label = f"label=com.docker.compose.project=order-service-{colour}"
    return run(["docker", "ps", *options, "--format={{.Names}}", "--filter", label]).split()


def _wait_until_healthy(names: list[str]) -> None:
    if ill := wait_until_healthy(names, _HEALTHY_SECONDS):
        states = "; ".join(f"{name} {state}" for name, state in ill.items())
        raise BackupError(
            f"the service was started again, but is not ready: {states}; see `docker logs`"
        )


def _load_beside(
    scratch: Scratch, server: Server, schema: str, beside: str, wanted: dict[str, Digest]
) -> None:
    """Load the scratch server's tables into a schema of their own, and compare them."""
    server.query(f"DROP DATABASE IF EXISTS `{beside}`")
    server.query(f"CREATE DATABASE `{beside}` CHARACTER SET utf8mb4")
    dump = scratch.server.command("mysqldump", *_DUMP, schema)
    load = server.command("mysql", beside)
    with subprocess.Popen(dump, stdout=subprocess.PIPE) as source:  # noqa: S603 - no shell
        try:
            loaded = subprocess.run(  # noqa: S603 - no shell
                load,
                stdin=source.stdout,
                capture_output=True,
                check=False,
                errors="replace",
                text=True,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise BackupError(f"MySQL did not take what was restored in {SECONDS} s") from None
    if loaded.returncode or source.returncode:
        raise BackupError(f"MySQL did not take what was restored: {loaded.stderr.strip()}")
    with server.session() as session:
        found = digests(session, beside)
    if problems := differences(wanted, found):
        raise BackupError(f"the loaded copy differs from the restored one: {'; '.join(problems)}")


def check(settings: Settings) -> None:
    """Refuse to begin where what is replaced has no place, or nobody may put it there.

    Raises:
        BackupError: there are tables of an earlier restore, another host's server takes the writes,
            or the account may not do what a restore needs.
    """
    if name := group.writer(settings):
        raise BackupError(
            f"the group's member that takes writes is {name}, and live data are restored there; or"
            " make this one take them first, by database.yml"
        )
    if database_servers():
        # Also where a restore was cut off, and has not done that.
        Writers.of(settings).let_in()
    server = external.server(settings, "root")
    beside, replaced = _beside(settings)
    if _tables(server, replaced):
        raise BackupError(
            f"an earlier restore left tables in the schema {replaced}; look at them, then remove"
            f" them: DROP DATABASE {replaced}"
        )
    if settings.external:
        for schema in (beside, replaced):
            server.query(f"CREATE DATABASE IF NOT EXISTS `{schema}` CHARACTER SET utf8mb4")
            server.query(f"DROP DATABASE `{schema}`")


def _beside(settings: Settings) -> tuple[str, str]:
    """Return the schemas of what is to go live, and of what is replaced."""
    return f"{settings.database}_restored", f"{settings.database}_replaced"


def _swap(server: Server, schema: str, beside: str, replaced: str) -> None:
    """Rename all tables at once: there is no moment with some of the old and some of the new."""
    for name in (schema, replaced):
        server.query(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")
    moves = [(schema, table, replaced) for table in _tables(server, schema)]
    moves += [(beside, table, schema) for table in _tables(server, beside)]
    renames = ", ".join(f"`{a}`.`{name}` TO `{b}`.`{name}`" for a, name, b in moves)
    with server.session() as session:
        # For somebody's transaction that is open; MySQL itself waits for a year.
        session.query(f"SET SESSION lock_wait_timeout = {END_SECONDS}")
        session.query(f"RENAME TABLE {renames}")


def _written_late(server: Server, replaced: str, backed_up: dict[str, Digest]) -> str:
    """Say what was written after the backup of what was replaced; empty if nothing was, or there is
    no such backup. A deployment of another host lets the writers in whatever is done here."""
    if not backed_up:
        return ""
    with server.session() as session:
        problems = differences(backed_up, digests(session, replaced))
    said = f"but after the backup of what was replaced something was written: {'; '.join(problems)}"
    return f"{said}. It is in the schema {replaced}: look, then drop that" if problems else ""


def _tables(server: Server, schema: str) -> list[str]:
    rows = server.query(
        "SELECT TABLE_NAME FROM information_schema.TABLES"  # noqa: S608
        f" WHERE TABLE_SCHEMA = '{schema}' AND TABLE_TYPE = 'BASE TABLE'"
    )
    return [row[0] for row in rows]


def _migrate() -> None:
    """Bring an older backup to the schema that the active release needs.

    A newer one stays as it is: migrations only add, so the release can serve it.
    """
    release = ledger.read()["active"]
    if release is None:
        return
    try:
        base = project.base(STACK, release)
        base.compose("run", "--rm", "--no-deps", "-T", "migrate", seconds=600)
    except CommandError as problem:
        if "Can't locate revision" not in str(problem):
            raise BackupError(f"the restored schema could not be migrated: {problem}") from None


def _hand_on() -> None:
    """Have the secrets that came back in each form that somebody reads, and a certificate of the
    authority that came back."""
    if release := ledger.read()["active"]:
        secret_files.make(release, f"--client={api_clients.PROMETHEUS.name}")
        if has_part(WEB):
            run([str(PLACE), "certificate", "--local"])
    if database_servers():
        warn("the other hosts have the former secrets: run deploy.yml, which hands these on")

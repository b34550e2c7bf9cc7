"""Puts what a scratch server has in the place of the live data.

The service is stopped meanwhile. What is replaced is backed up first; the restored tables are
loaded beside the live ones, compared, and only then renamed into their place by one statement. All
of it is in MySQL's binary log, so later restores to a point in time pass over it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from order_service.backup.backup import make_full, open_store, remembered
from order_service.backup.mysql_session import Server
from order_service.backup.settings import BackupError, Settings, warn
from order_service.backup.store import BEFORE_RESTORE, Store
from order_service.backup.table_digests import Digest, differences, digests
from order_service.host import STACK, UPSTREAM, CommandError, run, try_run
from order_service.release import ledger
from order_service.release.colours import NAMES, serving
from order_service.restore.scratch_mysql import Scratch

SECONDS = 3600
_STOP_SECONDS = 60
_HEALTHY_SECONDS = 180
_DUMP = ("--single-transaction", "--set-gtid-purged=OFF", "--no-tablespaces", "--hex-blob",
         "--loose-skip-masking-policies")  # fmt: skip


def replace_live(
    settings: Settings, scratch: Scratch, schema: str, *, with_backup: bool
) -> dict[str, Any]:
    """Replace the live tables by the scratch server's, and make a full backup of the result.

    It runs in the deployments' unit: a rollout beside it would start a colour that accepts orders
    into tables that are about to be moved away.

    Raises:
        BackupError: it could not be done; until the last step the live data stay as they were.
        CommandError: a container did not stop or start.
    """
    server = Server(settings.container, "root")
    store = open_store(settings)
    wanted = scratch.digests(schema)
    beside, replaced = f"{schema}_restored", f"{schema}_replaced"
    begun = time.monotonic()
    _check_nothing_left(server, replaced)
    with _service_stopped() as stopped:
        kept = _back_up(settings, store, BEFORE_RESTORE) if with_backup else None
        before = _digests(server, schema)
        _load_beside(scratch, server, schema, beside, wanted)
        _swap(server, schema, beside, replaced)
        if problems := differences(wanted, _digests(server, schema)):
            raise BackupError(f"the live data are not what was restored: {'; '.join(problems)}")
        for leftover in (beside, replaced):
            server.query(f"DROP DATABASE IF EXISTS `{leftover}`")
        _migrate()
        made = _back_up(settings, store, "after-restore")
    return {
        "replaced": before,
        "backup_of_what_was_replaced": kept,
        "backup_after": made,
        "stopped": stopped,
        "stopped_seconds": round(time.monotonic() - begun, 1),
    }


@contextmanager
def _service_stopped() -> Iterator[list[str]]:
    """Stop the containers of both colours, in good order; start what nginx sends to in any case.

    That is not what ran before: a restore that was cut off left nothing running.
    """
    running = [name for colour in NAMES for name in _containers(colour)]
    if running:
        run(["docker", "stop", f"--time={_STOP_SECONDS}", *running], seconds=_STOP_SECONDS * 2)
    try:
        yield running
    finally:
        serving_ones = _containers(serving().name, "--all") if UPSTREAM.exists() else []
        if serving_ones:
            run(["docker", "start", *serving_ones])
            _wait_until_healthy(serving_ones)


def _containers(colour: str, *options: str) -> list[str]:
    label = f"label=com.docker.compose.project=order-service-{colour}"
    return run(["docker", "ps", *options, "--format={{.Names}}", "--filter", label]).split()


def _wait_until_healthy(names: list[str]) -> None:
    """Wait for the containers that have a health check.

    Raises:
        BackupError: one is not healthy in time.
    """
    show = "{{.Name}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}"
    deadline = time.monotonic() + _HEALTHY_SECONDS
    while True:
        states = run(["docker", "inspect", f"--format={show}", *names]).splitlines()
        if all(state.endswith(" healthy") for state in states):
            return
        if time.monotonic() > deadline:
            raise BackupError(
                f"the service was started again, but is not ready: {'; '.join(states)}; see"
                " `docker logs`"
            )
        time.sleep(0.5)


def _back_up(settings: Settings, store: Store, kind: str) -> str:
    """Make a full backup; a copy off the host that fails is told, and no reason to stop here."""
    with remembered(store, "backup") as state:
        try:
            make_full(settings, store, kind, state)
        except CommandError as problem:
            if "id" not in state:
                raise
            state["offsite"] = f"failed: {problem}"
            warn(f"the copy off this host failed: {problem}")
    made: str = state["id"]
    return made


def _digests(server: Server, schema: str) -> dict[str, Digest]:
    with server.session() as session:
        return digests(session, schema)


def _load_beside(
    scratch: Scratch, server: Server, schema: str, beside: str, wanted: dict[str, Digest]
) -> None:
    """Load the scratch server's tables into a schema of their own, and compare them."""
    server.query(f"DROP DATABASE IF EXISTS `{beside}`")
    server.query(f"CREATE DATABASE `{beside}` CHARACTER SET utf8mb4")
    dump = scratch.server.command("mysqldump", *_DUMP, schema)
    load = server.command("mysql", beside)
    with subprocess.Popen(dump, stdout=subprocess.PIPE) as source:  # noqa: S603 - no shell
        loaded = subprocess.run(  # noqa: S603 - no shell
            load,
            stdin=source.stdout,
            capture_output=True,
            check=False,
            errors="replace",
            text=True,
            timeout=SECONDS,
        )
    if loaded.returncode or source.returncode:
        raise BackupError(f"MySQL did not take what was restored: {loaded.stderr.strip()}")
    if problems := differences(wanted, _digests(server, beside)):
        raise BackupError(f"the loaded copy differs from the restored one: {'; '.join(problems)}")


def _check_nothing_left(server: Server, replaced: str) -> None:
    """Refuse to begin where there would be no place for what is replaced."""
    if _tables(server, replaced):
        raise BackupError(
            f"an earlier restore left tables in the schema {replaced}; look at them, then remove"
            f" them: DROP DATABASE {replaced}"
        )


def _swap(server: Server, schema: str, beside: str, replaced: str) -> None:
    """Rename all tables at once: there is no moment with some of the old and some of the new."""
    for name in (schema, replaced):
        server.query(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")
    moves = [(schema, table, replaced) for table in _tables(server, schema)]
    moves += [(beside, table, schema) for table in _tables(server, beside)]
    server.query(
        "RENAME TABLE " + ", ".join(f"`{a}`.`{name}` TO `{b}`.`{name}`" for a, name, b in moves)
    )


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
    compose = ["env", f"--chdir={STACK}", "docker", "compose"]
    done = try_run(
        [*compose, "run", "--rm", "--no-deps", "-T", "migrate"],
        seconds=600,
        env={"RELEASE": release},
    )
    if done.returncode and "Can't locate revision" not in done.stderr:
        raise BackupError(f"the restored schema could not be migrated: {done.stderr[-2000:]}")

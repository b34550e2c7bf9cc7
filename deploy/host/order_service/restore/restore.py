"""Restores a backup into a scratch server, and from there into the live one if that is wanted.

Whatever goes live has been restored, compared and counted before; see its `--help`.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from order_service import unit
from order_service.backup import group
from order_service.backup.backup import (
    EXTERNAL_LOGS,
    copy_binlogs,
    open_store,
    remembered,
    run_main,
)
from order_service.backup.full import take
from order_service.backup.locks import locked
from order_service.backup.settings import BackupError, Settings, load, warn
from order_service.backup.store import Manifest, Store, check_space
from order_service.host import CommandError, say
from order_service.restore.live import check as check_live
from order_service.restore.live import estimate, replace_live
from order_service.restore.plan import LATEST, Plan, check, choose
from order_service.restore.scratch_mysql import Scratch, docker_folder, remove, scratch
from order_service.restore.source import (
    OFFSITE,
    Source,
    identity,
    planned,
    secrets,
    source,
    workspace,
)

# After which no drill is begun any more; its unit has three hours.
DRILL_SECONDS = 3600
EVERY_SECONDS = 5


def main() -> None:
    """Run what the command line asks for."""
    run_main("restore", command)


def command(arguments: list[str]) -> None:
    """Do what the arguments ask for."""
    os.umask(0o077)
    given = _parser().parse_args(arguments)
    settings = load()
    match given.what:
        case "list":
            _list(Store(given.store or settings.directory))
        case "where":
            # In a group, the hosts that do it in the place of this one.
            other = group.makes_backups(settings), group.writer(settings)
            say(json.dumps(dict(zip(("backups", "live"), other, strict=True))))
        case "estimate":
            say(estimate(open_store(settings)))
        case "drill":
            with identity(given.identity) as key:
                drill(settings, key)
        case _:
            with identity(given.identity) as key:
                say(json.dumps(restore(settings, given, key), indent=2))


def restore(settings: Settings, given: argparse.Namespace, key: Path | None) -> dict[str, Any]:
    """Restore into a scratch server, and with `live` from there into the live one."""
    live = given.what == "live"
    if given.until and not given.store:
        if settings.external:
            raise BackupError(f"{EXTERNAL_LOGS}; here it is the backup alone: leave out --until")
        _copy_newest_binlogs(settings)
    if live and not (given.store or given.until):
        _require_here(settings, given.backup)
    with source(settings, given, key) as reads:
        begun = time.monotonic()
        plan = planned(settings, given, reads)
        schema, packed = plan.manifest["database"], None
        if live:
            # What would refuse it is asked for first: the scratch server may take an hour.
            check_live(settings)
            packed = secrets(settings, given, reads, plan)
        with scratch(settings) as server:
            report = into_scratch(settings, reads, plan, server)
            if live:
                report |= replace_live(
                    settings,
                    server,
                    schema,
                    report["tables"],
                    secrets=packed,
                    with_backup=not given.no_backup,
                )
        report["seconds"] = round(time.monotonic() - begun, 1)
    return report


def into_scratch(settings: Settings, source: Source, plan: Plan, server: Scratch) -> dict[str, Any]:
    """Load and replay what is planned, and say what came of it."""
    manifest = plan.manifest
    for folder in (settings.directory, docker_folder()):
        check_space(folder, 3 * manifest["sql_bytes"], settings.reserve)
    tables = server.load(source.store, manifest, source.identity)
    last = None
    if plan.copies:
        last = server.replay(
            source.store, plan.copies, source.identity, plan.until, source.workspace
        )
        tables = server.digests(manifest["database"])
    return {
        "backup": manifest["id"],
        "backup_release": manifest["release"],
        "matches_manifest": True,  # else it had been refused
        "until": plan.until.isoformat() if plan.until else None,
        "binary_logs": len(plan.copies),
        "last_replayed_commit": last.isoformat() if last else None,
        "tables": tables,
    }


def drill(settings: Settings, key: Path | None) -> None:
    """Restore on trial as `prove` does, and note the outcome.

    Both need memory, so a deployment goes first; one that begins meanwhile breaks it off.
    """
    store, deadline = open_store(settings), time.monotonic() + DRILL_SECONDS
    with remembered(store, "drill") as state:
        state["left_to"] = group.makes_backups(settings)
        if state["left_to"]:
            say(json.dumps({"left_to": state["left_to"]}))
            return
        _let_deployments_pass(deadline)
        while not _undisturbed(settings, key, state):
            _let_deployments_pass(deadline)
    say(json.dumps(store.last("drill"), indent=2))


def prove(settings: Settings) -> None:
    """Restore the newest backup and all binary logs into a scratch server, and note the outcome."""
    with remembered(open_store(settings), "drill") as state:
        _prove(settings, None, state)


def _prove(settings: Settings, key: Path | None, state: dict[str, Any]) -> None:
    """Do it, and add the figures to the state.

    The private key of encrypted backups is not on this host, unless it is handed over for a drill.
    So their files are compared with what was written, and what is restored is a dump of this moment
    that is not kept.
    """
    store = open_store(settings)
    with workspace(settings) as folder:
        plan = choose(store, None, None)
        plan = choose(store, plan.manifest["id"], LATEST)
        check(store, plan)
        state["id"] = plan.manifest["id"]
        state["decrypted"] = key is not None
        reads = Source(store, key, folder)
        if plan.manifest["encrypted_to"] and key is None:
            reads = Source(Store(folder), None, folder)
            plan = Plan(_fresh_dump(settings, folder))
        with scratch(settings) as server:
            report = into_scratch(settings, reads, plan, server)
    state["rows"] = sum(table["rows"] for table in report["tables"].values())


def _undisturbed(settings: Settings, key: Path | None, state: dict[str, Any]) -> bool:
    """Prove it, and return whether no deployment began meanwhile, which ends the scratch server."""
    over, gave_way = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY_SECONDS):
            if unit.NAME and unit.under_way():
                gave_way.set()
                remove()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        _prove(settings, key, state)
    except (BackupError, CommandError):
        if not gave_way.is_set():
            raise
        return False
    finally:
        over.set()
        watcher.join()
    return True


def _fresh_dump(settings: Settings, folder: Path) -> Manifest:
    with locked(settings.directory, "dump"):
        return take(replace(settings, public_key=""), Store(folder), "manual")


def _let_deployments_pass(deadline: float) -> None:
    """Wait until nothing is deployed.

    Raises:
        BackupError: a deployment took all the time.
    """
    while what := unit.NAME and unit.under_way():
        if time.monotonic() > deadline:
            raise BackupError(f"{what} is still under way, so there was no drill")
        time.sleep(EVERY_SECONDS)


def _copy_newest_binlogs(settings: Settings) -> None:
    """Copy what this host's MySQL still has; where it is gone, what was copied has to do."""
    try:
        copy_binlogs(settings, open_store(settings))
    except (BackupError, CommandError) as problem:
        warn(f"the newest binary logs could not be copied, so they may be missing: {problem}")


def _require_here(settings: Settings, backup: str) -> None:
    """In a group this host's own newest may be of the days when it made them."""
    if backup and group.is_one() and backup not in Store(settings.directory).ids():
        raise BackupError(
            f"the backup {backup!r} is not on this host, which takes the writes: restore from"
            " offsite (restore_from), or have the member that has it take them first (database.yml"
            " -e primary=HOST)"
        )
    if not backup and (other := group.makes_backups(settings)):
        raise BackupError(
            f"the newest backups are not here but on {other}: restore from offsite"
            " (restore_from), until latest (restore_until), or name one of this host's"
            " (restore_backup)"
        )


def _list(store: Store) -> None:
    for one in store.manifests().values():
        rows = sum(table["rows"] for table in one["tables"].values())
        what = (one["id"], one["kind"], f"{rows} rows", f"{one['bytes']} bytes", one["release"])
        say("  ".join(map(str, what)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="order-service restore", description=__doc__)
    parser.add_argument("what", choices=["scratch", "live", "drill", "list", "estimate", "where"])
    parser.add_argument("--backup", metavar="ID", help="its UTC time; default: the newest")
    parser.add_argument(
        "--until",
        metavar="TIME",
        help=f"UTC; what was committed from then on is left out; {LATEST}",
    )
    parser.add_argument("--identity", type=Path, help="a file with the private key; - reads it")
    parser.add_argument(
        "--store",
        type=Path,
        help=f"a folder of backups, or {OFFSITE}; default: the host's own",
    )
    parser.add_argument(
        "--secrets",
        action=argparse.BooleanOptionalAction,
        help="live: passwords, signing secrets and authority, too; default: on a younger host",
    )
    parser.add_argument("--discard", action="store_true", help="remove that folder at the end")
    parser.add_argument(
        "--no-backup", action="store_true", help="live: replace data that cannot be backed up"
    )
    return parser

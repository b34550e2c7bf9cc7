"""Restores a backup into a scratch server, and from there into the live one if that is wanted.

Whatever goes live has been restored, compared and counted before; see its `--help`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from order_service.backup import offsite
from order_service.backup.backup import binlog, locked, open_store, remembered, run_main
from order_service.backup.full import take
from order_service.backup.settings import BackupError, Settings, load, warn
from order_service.backup.store import PARTIAL, Store, check_space
from order_service.host import CommandError, say
from order_service.restore.live import replace_live
from order_service.restore.plan import LATEST, Plan, check, check_key, choose
from order_service.restore.scratch_mysql import Scratch, docker_folder, scratch


def main() -> None:
    """Run what the command line asks for."""
    run_main("restore", command)


def command(arguments: list[str]) -> None:
    """Do what the arguments ask for."""
    os.umask(0o077)
    given = _parser().parse_args(arguments)
    settings = load()
    if given.what == "drill":
        drill(settings)
    elif given.what == "list":
        _list(Store(given.store or settings.directory))
    elif given.what == "fetch":
        given.store.mkdir(mode=0o700, parents=True, exist_ok=True)
        offsite.fetch(settings, given.store)
    else:
        say(json.dumps(restore(settings, given), indent=2))


def restore(settings: Settings, given: argparse.Namespace) -> dict[str, Any]:
    """Restore into a scratch server, and with `live` from there into the live one."""
    live = given.what == "live"
    store = Store(given.store) if given.store else open_store(settings)
    if given.until and not given.store:
        _copy_newest_binlogs(settings)
    with locked():
        begun = time.monotonic()
        plan = choose(store, given.backup, given.until, foreign=given.store is not None)
        check(store, plan)
        check_key(store, plan, given.identity)
        with scratch(settings) as server:
            report = into_scratch(settings, store, plan, server, given.identity)
            if live:
                report |= replace_live(
                    settings, server, plan.manifest["database"], with_backup=not given.no_backup
                )
        report["seconds"] = round(time.monotonic() - begun, 1)
    return report


def into_scratch(
    settings: Settings, store: Store, plan: Plan, server: Scratch, identity: Path | None
) -> dict[str, Any]:
    """Load and replay what is planned, and say what came of it."""
    manifest = plan.manifest
    for folder in (open_store(settings).folder, docker_folder()):
        check_space(folder, 3 * manifest["sql_bytes"], settings.reserve)
    server.load(store, manifest, identity)
    last = None
    if plan.copies:
        prefix = f"{PARTIAL}restore"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=settings.directory) as workspace:
            last = server.replay(store, plan.copies, identity, plan.until, Path(workspace))
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


def drill(settings: Settings) -> None:
    """Restore the newest backup and all binary logs into a scratch server, and note the outcome.

    The private key of encrypted backups is not on this host. So their files are compared with what
    was written, and what is restored is a dump of this moment that is not kept.
    """
    store = open_store(settings)
    with locked(), remembered(store, "drill") as state:
        plan = choose(store, None, None)
        plan = choose(store, plan.manifest["id"], LATEST)
        check(store, plan)
        state["id"] = plan.manifest["id"]
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=settings.directory) as folder:
            source = store
            if plan.manifest["encrypted_to"]:
                source = Store(Path(folder))
                fresh = take(replace(settings, public_key=""), source, "manual")
                plan = Plan(fresh)
            with scratch(settings) as server:
                report = into_scratch(settings, source, plan, server, None)
        state["rows"] = sum(table["rows"] for table in report["tables"].values())
    say(json.dumps(store.last("drill"), indent=2))


def prove(settings: Settings) -> None:
    """Try the newest backup, as a drill does."""
    drill(settings)


def _copy_newest_binlogs(settings: Settings) -> None:
    """Copy what this host's MySQL still has; where it is gone, what was copied has to do."""
    try:
        binlog(settings)
    except (BackupError, CommandError) as problem:
        warn(f"the newest binary logs could not be copied, so they may be missing: {problem}")


def _list(store: Store) -> None:
    for one in store.manifests().values():
        rows = sum(table["rows"] for table in one["tables"].values())
        what = (one["id"], one["kind"], f"{rows} rows", f"{one['bytes']} bytes", one["release"])
        say("  ".join(map(str, what)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="order-service restore", description=__doc__)
    parser.add_argument("what", choices=["scratch", "live", "drill", "list", "fetch"])
    parser.add_argument("--backup", metavar="ID", help="its UTC time; default: the newest")
    parser.add_argument(
        "--until",
        metavar="TIME",
        help=f"UTC; what was committed from then on is left out; {LATEST}",
    )
    parser.add_argument("--identity", type=Path, help="a file with the private key")
    parser.add_argument("--store", type=Path, help="a folder of backups; default: the host's own")
    parser.add_argument(
        "--no-backup", action="store_true", help="live: replace data that cannot be backed up"
    )
    return parser

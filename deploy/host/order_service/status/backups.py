"""How backups, copies of the binary logs and drills went."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from order_service.dotenv import has_external_database
from order_service.host import SETTINGS, now, read_json
from order_service.release import ledger as ledgers
from order_service.status.line import Line, age, when

# A day, and time for the backup itself.
BACKUP_AGE = timedelta(hours=26)
# Of the copies of the binary logs, which are made all half an hour at least.
BINLOG_AGE = timedelta(hours=2)
# A month, and a run that was missed.
DRILL_AGE = timedelta(days=40)
MEBIBYTE = 1024**2


def backups() -> Iterator[Line]:
    """Tell how each job's last run ended."""
    settings = read_json(SETTINGS / "backup.json", None)
    if settings is None:
        yield Line("backup", "not set up; run deploy.yml", good=False)
        return
    folder = Path(settings["directory"])
    for part, job, allowed in (
        ("backup", "backup", BACKUP_AGE),
        ("binary logs", "binlog", BINLOG_AGE),
        ("drill", "drill", DRILL_AGE),
    ):
        # The binary logs of a database that somebody else runs are copied there, or nowhere.
        if not (job == "binlog" and has_external_database()):
            yield _outcome(part, read_json(folder / f"last-{job}.json", {}), allowed)


def copies() -> Iterator[Line]:
    """Tell whether the loss of this host loses all orders."""
    settings = read_json(SETTINGS / "backup.json", None)
    if settings is not None and settings.get("offsite", "none") == "none":
        wanted = settings.get("destination") == "none"
        text = "as backup_destination says" if wanted else "so its loss is that of all orders"
        yield Line("copies", f"none leaves this host, {text}", good=wanted)


def secrets() -> Iterator[Line]:
    """Tell whether the loss of this host loses what its clients know of it."""
    settings = read_json(SETTINGS / "backup.json", None)
    if settings is not None and (key := settings.get("public_key", "")) in ("", "none"):
        wanted = key == "none"
        lost = "so its loss is that of the API's password, all other secrets, and the authority"
        text = "as backup_public_key says" if wanted else lost
        yield Line("secrets", f"none are in the backups, {text}", good=wanted)


def _outcome(part: str, state: dict[str, Any], allowed: timedelta) -> Line:
    """Tell how a job's last run ended, and whether it is late."""
    if not state:
        oldest = min((entry["deployed_at"] for entry in ledgers.read()["releases"]), default=now())
        late = age(oldest) > allowed
        text = "none so far" + (", and it is late" if late else "")
        return Line(part, text, good=not late, subject="late" if late else "")
    if state["outcome"] != "ok":
        last = when(state["last_ok_at"]) if state.get("last_ok_at") else "never"
        text = f"failed {when(state['finished_at'])}, went well {last}"
        return Line(part, text, good=False, why=str(state.get("error")))
    text = f"went well {when(state['finished_at'])}, in {state['seconds']:.0f} s"
    if other := state.get("left_to"):
        text = f"left to {other} {when(state['finished_at'])}, which makes it for the group"
    elif state.get("bytes"):
        text += f", {state['bytes'] / MEBIBYTE:.1f} MiB"
    if state.get("offsite", "none") != "none":
        text += f", copied to {state['offsite']}"
    if age(state["finished_at"]) > allowed:
        return Line(part, f"{text} and is late", good=False, subject="late")
    return Line(part, text)

"""Brings the schema to what a release needs, as the migrator's account, while the former serves."""

from __future__ import annotations

from order_service.backup import backup
from order_service.backup.settings import BackupError, load
from order_service.host import STACK, CommandError, private_files, say
from order_service.release import project

KIND = "before-migration"
ONCE = ("run", "--rm", "--no-deps", "-T", "migrate", "flask", "db")
ASK_SECONDS = 120
RUN_SECONDS = 7200


def run(release: str) -> bool:
    """Run the migrations that are missing, after a backup; return whether there were any.

    Raises:
        CommandError: one failed, or the backup did.
    """
    base = project.base(STACK, release)
    try:
        current = base.compose(*ONCE, "current", seconds=ASK_SECONDS)
    except CommandError as problem:
        # A newer release's revision; migrations only add, so this one can serve.
        if "Can't locate revision" in str(problem):
            return False
        raise
    if "(head)" in current:
        return False
    try:
        if current.strip():
            say("backing up before the migrations")
            with private_files():
                backup.full(load(), KIND)
        say("running the migrations")
        base.compose(*ONCE, "upgrade", seconds=RUN_SECONDS)
    except (BackupError, CommandError, OSError) as problem:
        raise CommandError(
            f"The migrations of {release} failed; the former release serves on. What they had done"
            f" so far stays, and the next run goes on from there. {problem}"
        ) from None
    return True

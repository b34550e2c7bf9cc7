"""Puts a release's program in place as the host's: one file, by one rename, for whoever calls it.

A deployment does it. All else uses what is there, so the programs of two versions never mix.
"""

from __future__ import annotations

import argparse
import io
import stat
import sys
import zipapp
from pathlib import Path

from order_service.host import RELEASES, ROOT, CommandError, say, write_bytes

PLACE = ROOT / "order-service"
MODE = 0o755
# For people: sudo order-service status.
LINK = Path("/usr/local/sbin/order-service")


def main() -> None:
    """Put it in place; the last line is CHANGED or UNCHANGED."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", help="whose files are on this host")
    try:
        changed = install(parser.parse_args().release)
    except (CommandError, OSError) as problem:
        sys.exit(f"FAILED: {problem}")
    say("CHANGED" if changed else "UNCHANGED")


def install(release: str) -> bool:
    """Make the release's program the host's; return whether it was not.

    Raises:
        CommandError: the release's files are not on this host.
    """
    folder = RELEASES / release / "deploy" / "host"
    if not folder.is_dir():
        raise CommandError(f"{folder} is missing: the release's files are not on this host")
    packed = io.BytesIO()
    interpreter = "/usr/bin/python3"
    zipapp.create_archive(folder, packed, interpreter, filter=lambda path: path.suffix == ".py")
    changed = not PLACE.is_file() or PLACE.read_bytes() != packed.getvalue()
    if changed or stat.S_IMODE(PLACE.stat().st_mode) != MODE:
        write_bytes(PLACE, packed.getvalue(), MODE)
    if not LINK.is_symlink():
        LINK.symlink_to(PLACE)
    return changed

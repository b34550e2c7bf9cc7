"""What tells why a release was taken back: for root alone, since logs can hold anything."""

from __future__ import annotations

import json
import shutil

from order_service.host import FAILURES, now, say
from order_service.release.colours import Colour

KEPT = 10
ROOT_ONLY = 0o700


def close() -> None:
    """Let root alone read what is kept, and what an earlier release of this program has left."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    FAILURES.chmod(ROOT_ONLY)


def keep(new: Colour, release: str, problem: BaseException) -> None:
    """Keep why a release was taken back, and forget the oldest of those."""
    close()
    folder = FAILURES / f"{now().replace(':', '')}-{release}"
    folder.mkdir(mode=ROOT_ONLY, exist_ok=True)
    (folder / "reason.txt").write_text(f"{problem}\n")
    (folder / "readyz.json").write_text(json.dumps(new.readiness()))
    end = new.save_logs(folder)
    say(f"what the failed containers wrote last (all of it: {folder}):\n{end}")
    for old in sorted(FAILURES.iterdir())[:-KEPT]:
        shutil.rmtree(old)

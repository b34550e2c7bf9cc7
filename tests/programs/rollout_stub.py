"""In the place of the rollout: the service begins anew, with the secrets that are there."""

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

VOLUMES = Path(os.environ["VOLUMES"])


class Wanted(NamedTuple):
    """The release that is to serve."""

    release: str
    force: bool = False


def kill_program(moment: str) -> None:
    """Kill the program, where a test wants that."""
    if (os.environ.get("CUT"), os.environ.get("CUT_WHEN")) == ("rollout", moment):
        os.kill(os.getpid(), signal.SIGKILL)


def bring(_: Wanted) -> str:
    """Let the service begin anew."""
    kill_program("before")
    main()
    kill_program("after")
    return "CHANGED: it serves"


def main() -> None:
    """Let the service begin, with what is in the files by now."""
    (VOLUMES / "in_use").write_text((VOLUMES / "service" / "database_url").read_text())
    (VOLUMES / "started").write_text(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z")

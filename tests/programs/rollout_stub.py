"""In the place of the rollout: the service begins anew, with the secrets that are there."""

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

VOLUMES = Path(os.environ["VOLUMES"])


def kill_program(moment: str) -> None:
    """Kill the program that has called, where a test wants that."""
    if (os.environ.get("CUT"), os.environ.get("CUT_WHEN")) == ("rollout", moment):
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit(1)


def main() -> None:
    """Let the service begin anew."""
    kill_program("before")
    (VOLUMES / "in_use").write_text((VOLUMES / "service" / "database_url").read_text())
    (VOLUMES / "started").write_text(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z")
    kill_program("after")

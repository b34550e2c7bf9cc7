"""Docker's command line, for tests that start, stall and end containers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

# Generous, and under pytest's own limit, which would not say what hangs.
SECONDS = 240.0


class DockerError(Exception):
    """Docker did not do what a test asked of it; says what it answered."""


def docker(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    errors_too: bool = False,
) -> str:
    """Run `docker` with these arguments and return what it wrote to its standard output, and to
    its standard error if `errors_too`.

    Raises:
        DockerError: it failed, or took longer than that many seconds.
    """
    try:
        result = subprocess.run(
            ["docker", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors_too else subprocess.PIPE,
            check=False,
            env=os.environ | (env or {}),
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise DockerError(f"docker {' '.join(arguments)}: no answer within {seconds:g} s") from None
    if result.returncode:
        said = result.stderr or result.stdout
        raise DockerError(f"docker {' '.join(arguments)}: {said.strip()}")
    return result.stdout.strip()

"""This machine in the place of hosts, each with a program of its own that stands in for theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_program(path: Path, script: str) -> Path:
    """Write a program that can be called, and return where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


def local_host(program: Path, address: str) -> dict[str, Any]:
    """Return the settings of a host that is this machine, and has that program."""
    return {
        "ansible_connection": "local",
        "ansible_become": False,
        "private_address": address,
        "order_service_program": [str(program)],
        "order_service_deployer": "me",
    }

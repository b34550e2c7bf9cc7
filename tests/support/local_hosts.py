"""This machine in the place of hosts, each with a program of its own that stands in for theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE: dict[str, Any] = {"ansible_connection": "local", "ansible_become": False}


def write_program(path: Path, script: str) -> Path:
    """Write a program that can be called, and return where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


def local_host(program: Path, address: str) -> dict[str, Any]:
    """Return the settings of a host that is this machine, and has that program."""
    return HERE | {
        "private_address": address,
        "order_service_program": [str(program)],
        "order_service_deployer": "me",
    }


def in_parts(
    parts: Mapping[str, Sequence[str]], hosts: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the inventory of several hosts, of which each part has those that it names."""
    children = {
        part: {"hosts": {name: hosts[name] for name in names}} for part, names in parts.items()
    }
    return {"order_service": {"children": children, "vars": dict(settings)}}

"""The host's programs in this process, on folders of a test's own."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import files
import pytest
from order_service import host

from tests.support.service_process import REPOSITORY

PROGRAMS = [REPOSITORY / "deploy" / name for name in ("host", "secrets")]


def relocate(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Have the programs, in this process, use folders below the root in the place of the host's."""
    places = {host.ROOT: root, host.SETTINGS: root / "settings", Path("/run"): root / "run"}
    for name in ("mysql", "migrate", "service"):
        places[files.VOLUMES / name] = root / "volumes" / f"order-service_{name}-secrets"
    for folder in (root / "settings", root / "state", root / "run" / "lock"):
        folder.mkdir(parents=True, exist_ok=True)
    # All of them first: what is imported later would keep the folders of this test.
    for module in [importlib.import_module(name) for name in _modules()]:
        for constant, value in list(vars(module).items()):
            for old, new in places.items():
                if isinstance(value, Path) and value.is_relative_to(old):
                    monkeypatch.setattr(module, constant, new / value.relative_to(old))
                    break


def _modules() -> Iterator[str]:
    """Return the names of all modules of the programs."""
    for folder in PROGRAMS:
        for path in folder.rglob("*.py"):
            if not path.name.startswith("__"):
                yield ".".join(path.relative_to(folder).with_suffix("").parts)

"""Restores by the host's program in this process: one scratch server does for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from order_service.backup import settings as backup_settings
from order_service.backup.settings import Settings
from order_service.restore import restore
from order_service.restore.scratch_mysql import Scratch

from tests.support.backups import BackupHost
from tests.support.relocation import relocate


@contextmanager
def borrowed(settings: Settings) -> Iterator[Scratch]:
    """Lend the scratch server, and have it empty again afterwards."""
    scratch = Scratch(settings)
    try:
        yield scratch
    finally:
        for statement in ("STOP REPLICA", "RESET REPLICA ALL", "DROP DATABASE IF EXISTS orders"):
            scratch.server.query(statement)


class Restores:
    """restore.py, called with its command line."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        # What the last one said beside its report.
        self.said = ""
        # What happens while the next one is at work.
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, *arguments: str) -> dict[str, Any]:
        """Restore, and return the report."""
        self._capsys.readouterr()
        restore.command(list(arguments))
        output, self.said = self._capsys.readouterr()
        report: dict[str, Any] = json.loads(output)
        return report

    def listed(self, store: Path) -> list[list[str]]:
        """Return what `list` says, line by line."""
        restore.command(["list", "--store", str(store)])
        return [line.split("  ") for line in self._capsys.readouterr().out.splitlines()]


def restores_on(
    host: BackupHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Restores:
    """Have this process be the host; the scratch server is there already."""
    for name, value in host.environment.items():
        monkeypatch.setenv(name, value)
    relocate(monkeypatch, host.folder)
    monkeypatch.setattr("order_service.unit.NAME", "")
    monkeypatch.setattr(restore, "load", lambda: backup_settings.load(host.settings))
    monkeypatch.setattr(restore, "scratch", borrowed)
    monkeypatch.setattr("order_service.restore.restore.os.umask", lambda _: 0)
    made, into_scratch = Restores(capsys), restore.into_scratch

    def at_work(*arguments: Any) -> dict[str, Any]:
        made.meanwhile()
        return into_scratch(*arguments)

    monkeypatch.setattr(restore, "into_scratch", at_work)
    return made

"""A restore: what it needs before it begins, and what it keeps away."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from order_service import containers
from order_service.backup import external, host_secrets
from order_service.backup.host_secrets import Packed
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import PackedFile, Store
from order_service.release import colours, maintenance
from order_service.restore import live, restore, scratch_mysql
from order_service.restore.plan import Plan
from order_service.restore.scratch_mysql import Scratch
from order_service.restore.source import Source, secrets

from tests.support.stored_backups import add_backup


def test_space_is_needed_where_docker_keeps_its_data_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {tmp_path: 10 << 30, Path("/data/docker"): 2 << 30}
    monkeypatch.setattr(scratch_mysql, "run", lambda _: "/data/docker\n")
    monkeypatch.setattr(
        "order_service.backup.store.shutil.disk_usage",
        lambda folder: SimpleNamespace(free=free[folder]),
    )
    manifest: Any = {"sql_bytes": 1 << 30}
    settings = Settings(directory=tmp_path)
    source = Source(Store(tmp_path), None, tmp_path)
    with pytest.raises(BackupError, match="/data/docker has 2048 MiB free; this needs 3072 MiB"):
        restore.into_scratch(settings, source, Plan(manifest), Scratch(settings))


def test_what_is_restored_is_compared_with_what_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: Any = {"rows": 3, "checksum": "1f"}
    found: Any = {"rows": 3, "checksum": "1f"}
    monkeypatch.setattr(scratch_mysql, "unpack", lambda *_: None)
    monkeypatch.setattr("order_service.backup.mysql_session.Server.query", lambda *_: [])
    monkeypatch.setattr(Scratch, "digests", lambda *_: {"orders": found})
    manifest: Any = {
        "id": "2026-11-22T101500Z", "database": "orders", "gtid_executed": "",
        "file": "orders.sql.zst", "tables": {"orders": recorded},
    }  # fmt: skip
    scratch = Scratch(Settings(directory=tmp_path))
    scratch.load(Store(tmp_path), manifest, None)
    for name, other in (("rows", 2), ("checksum", "1e")):
        monkeypatch.setitem(found, name, other)
        with pytest.raises(BackupError, match="does not restore to what was recorded: orders has"):
            scratch.load(Store(tmp_path), manifest, None)
        monkeypatch.setitem(found, name, recorded[name])


@dataclass
class Asked:
    """What a restore to live is asked for, on a host of which this is known."""

    deployed_at: str = "2026-11-21T00:00:00Z"  # after the backup was made
    elsewhere: bool = True
    orders: int = 0
    wanted: bool | None = None
    kept: bool = True
    linked_at: str = ""

    def answer(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> Packed | None:
        """Return which secrets the host gets."""
        store = Store(root / "store")
        add_backup(store.folder, "2026-11-20T000000Z")
        plan = Plan(store.manifest("2026-11-20T000000Z"))
        if self.kept:
            plan.manifest["secrets"] = PackedFile(file="secrets.tar.zst.age", bytes=1, sha256="0")
        ledger = {"active": None, "releases": [{"deployed_at": self.deployed_at}]}
        (root / "state").mkdir(exist_ok=True)
        (root / "state" / "ledger.json").write_text(json.dumps(ledger))
        monkeypatch.setattr(
            "order_service.backup.mysql_session.Server.query", lambda *_: [["1"]] * self.orders
        )
        link = root / "link"
        monkeypatch.setattr(host_secrets, "LINK", link)
        if self.linked_at:
            link.symlink_to("order-service")
            linked = datetime.fromisoformat(self.linked_at).timestamp()
            os.utime(link, (linked, linked), follow_symlinks=False)
        source = Source(store, root / "key", root, foreign=self.elsewhere)
        return secrets(Settings(store.folder), Namespace(secrets=self.wanted), source, plan)


@pytest.mark.parametrize(
    ("asked", "gets"),
    [
        (Asked(), True),
        # It has what the backup has, or newer.
        (Asked(deployed_at="2026-11-19T00:00:00Z"), False),
        # Its ledger has forgotten its first releases.
        (Asked(linked_at="2026-11-19T00:00:00Z"), False),
        (Asked(linked_at="2026-11-21T00:00:00Z"), True),
        (Asked(elsewhere=False), False),
        # Its own clients know it.
        (Asked(orders=1), False),
        (Asked(wanted=False), False),
        (Asked(wanted=True, deployed_at="2026-11-19T00:00:00Z", elsewhere=False, orders=1), True),
    ],
)
def test_a_host_gets_the_secrets_of_a_lost_one_where_nobody_knows_its_own(
    root: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked, gets: bool
) -> None:
    found = asked.answer(root, monkeypatch)
    folder = root / "store" / "2026-11-20T000000Z"
    assert found == (Packed(folder / "secrets.tar.zst.age", root / "key") if gets else None)


def test_that_secrets_are_missing_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "2026-11-20T000000Z has no passwords, signing secrets and authority: it was made without"
    assert Asked(kept=False).answer(root, monkeypatch) is None
    assert said in capsys.readouterr().err
    with pytest.raises(BackupError, match=said):
        Asked(kept=False, wanted=True).answer(root / "again", monkeypatch)


def test_a_restore_that_is_cut_off_while_the_service_stops_leaves_it_serving(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker goes on with a stop whose caller has gone, so a mere start would do nothing."""
    for folder in ("stack", "upstream"):
        (root / folder).mkdir()
    (root / "stack" / ".env").write_text("WEB_SUBNET=172.20.0.0/24\n")
    (root / "upstream" / "server.conf").write_text(colours.upstream_for(colours.Colour("blue")))
    ran: list[str] = []

    def run(command: list[str], **_: object) -> str:
        ran.append(command[1])
        if command[1] == "stop":
            raise SystemExit("interrupted by SIGTERM")
        return "healthy" if command[1] == "inspect" else "blue-app-1"

    for module in (live, containers):
        monkeypatch.setattr(module, "run", run)
    with pytest.raises(SystemExit), live.service_stopped():
        pass
    assert ran[-2:] == ["restart", "inspect"]
    assert not maintenance.is_on()


@dataclass
class Empty:
    """A MySQL without a table, and what stands for its clients."""

    client: list[str]

    def command(self, *_: str) -> list[str]:
        return self.client

    def query(self, _: str) -> list[list[str]]:
        return []

    def session(self) -> AbstractContextManager[Self]:
        return nullcontext(self)


def test_a_mysql_that_takes_nothing_is_not_waited_for_without_end(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "server", lambda *_: Empty(["sleep", "60"]))
    monkeypatch.setattr(live, "SECONDS", 0.1)
    scratch: Any = SimpleNamespace(server=Empty(["true"]))
    settings = Settings(directory=root / "backups")
    with pytest.raises(BackupError, match=r"did not take what was restored in 0\.1 s"):
        live.replace_live(settings, scratch, "orders", {}, secrets=None, with_backup=False)


def test_that_the_data_are_live_is_told_where_the_backup_of_them_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise BackupError("the disk is full")

    empty = Empty(["true"])
    monkeypatch.setattr(external, "server", lambda *_: empty)
    monkeypatch.setattr(live, "digests", lambda *_: {})
    monkeypatch.setattr(live, "service_stopped", lambda: nullcontext({}))
    monkeypatch.setattr(live, "make_full", full)
    scratch: Any = SimpleNamespace(server=empty)
    settings = Settings(directory=root / "backups")
    with pytest.raises(BackupError, match=r"restored is live; .* failed: the disk is full"):
        live.replace_live(settings, scratch, "orders", {}, secrets=None, with_backup=False)


@pytest.mark.parametrize("rows", [3, 4])
def test_what_was_written_after_the_backup_of_what_is_replaced_is_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """A deployment of another host lets the service's account in, and orders are accepted."""
    asked: list[str] = []

    class Live(Empty):
        def query(self, sql: str) -> list[list[str]]:
            asked.append(sql)
            return []

    backed_up, found = ({"orders": {"rows": n, "checksum": "1f"}} for n in (3, rows))
    server = Live(["true"])
    monkeypatch.setattr(external, "server", lambda *_: server)
    monkeypatch.setattr(live, "_load_beside", lambda *_: None)
    monkeypatch.setattr(live, "_back_up_replaced", lambda *_: {"replaced": backed_up})
    monkeypatch.setattr(live, "digests", lambda *_: found)
    monkeypatch.setattr(live, "service_stopped", lambda: nullcontext({}))
    full: Any = lambda *args: args[-1].update(id="2026-11-22T101500Z")  # noqa: E731
    monkeypatch.setattr(live, "make_full", full)
    monkeypatch.setattr(live, "send_full", lambda *_: None)
    said = r"is live; .* orders has 4 rows, expected 3.* in the schema orders_replaced"
    expected = nullcontext() if rows == 3 else pytest.raises(BackupError, match=said)
    scratch: Any = SimpleNamespace(server=server)
    settings = Settings(directory=root / "backups")
    with expected:
        live.replace_live(settings, scratch, "orders", {}, secrets=None, with_backup=True)
    # It waits for nobody's open transaction without end.
    renamed = next(i for i, sql in enumerate(asked) if sql.startswith("RENAME TABLE"))
    assert asked[renamed - 1] == "SET SESSION lock_wait_timeout = 60"
    dropped = "DROP DATABASE IF EXISTS `orders_replaced`" in asked
    assert dropped == (rows == 3)
    assert json.loads((root / "backups" / "last-backup.json").read_text())["id"]


@pytest.mark.parametrize("more", [[], ["--backup", "2026-11-20T000000Z"], ["--until", "latest"]])
def test_an_old_backup_does_not_go_live_for_the_newest_of_a_group(
    root: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    """The member that takes the writes is another one than the one that makes the backups."""
    add_backup(root / "store", "2026-11-20T000000Z")
    monkeypatch.setattr(restore, "load", lambda: Settings(directory=root / "store"))
    monkeypatch.setattr("order_service.backup.group.makes_backups", lambda _: "10.0.0.2")
    monkeypatch.setattr(restore, "_copy_newest_binlogs", lambda _: None)

    def reached(*_: object) -> None:
        raise BackupError("it goes on")

    monkeypatch.setattr(restore, "check_live", reached)
    said = "it goes on" if more else r"not here but on 10\.0\.0\.2: restore from offsite"
    with pytest.raises(BackupError, match=said):
        restore.command(["live", *more])

"""Single steps of the host's programs, without Docker."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import credentials
import images
import nginx
import pytest
import secret_files
import smoke
import stack
from backup_settings import BackupError
from host import CommandError
from mysql_session import Server


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A release's configuration of nginx, and what is in place: with one file that differs."""
    source, target = tmp_path / "source", tmp_path / "target"
    for folder, text in ((source, "new"), (target, "old")):
        (folder / "parts").mkdir(parents=True)
        (folder / "same.conf").write_text("same")
        (folder / "parts" / "other.conf").write_text(text)
    (target / "gone").mkdir()
    (target / "gone" / "old.conf").touch()
    (target / "folder").touch()
    (source / "folder").mkdir()
    return source, target


def test_mirror_replaces_what_differs_and_touches_nothing_else(folders: tuple[Path, Path]) -> None:
    source, target = folders
    same = (target / "same.conf").stat()
    inode = target.stat().st_ino
    nginx.mirror(source, target)
    assert nginx._contents(target) == nginx._contents(source)
    assert (target / "folder").is_dir()
    assert not (target / "gone").exists()
    assert target.stat().st_ino == inode
    assert (target / "same.conf").stat() == same


def test_mirror_leaves_a_file_whole_on_a_full_disk(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = folders

    def full(_: Path, to: Path) -> None:
        Path(to).write_text("n")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match="No space left"):
        nginx.mirror(source, target)
    assert (target / "parts" / "other.conf").read_text() == "old"
    assert [path.name for path in (target / "parts").iterdir()] == ["other.conf"]


def test_a_private_authority_need_not_be_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 is, by default."""

    def strict(**_: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    context = smoke._context()
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_older_images_go_with_all_their_names_but_not_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = "registry.example.com/orders"
    ids = {"kept": "sha256:1", "same": "sha256:1", "old": "sha256:2"}
    removed = []

    def docker(command: list[str]) -> subprocess.CompletedProcess[str]:
        release = command[-1].partition(":")[2]
        out = ""
        if "rm" in command:
            removed.append(command[-1])
        elif "--format" in command:
            out = ids[release]
        else:
            tags = [f"order-service:{release}", f"{registry}:{release}"]
            digests = [f"{registry}@sha256:{release}"]
            out = json.dumps([{"Id": ids[release], "RepoTags": tags, "RepoDigests": digests}])
        return subprocess.CompletedProcess(command, 0, stdout=out)

    monkeypatch.setattr(images, "RELEASES", tmp_path)
    monkeypatch.setattr(images, "run", lambda _: "\n".join(ids))
    monkeypatch.setattr(images, "try_run", docker)
    images.prune(["kept"])
    # Its own tag last: while a container uses the image, that one stays and is found again.
    assert removed == [
        f"{registry}:old", f"{registry}@sha256:old", "order-service:old", "order-service:same",
    ]  # fmt: skip


def test_a_configuration_that_mysql_refuses_is_not_put_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = []

    def docker(command: list[str], **_: object) -> str:
        ran.append(command)
        if "--validate-config" in command:
            raise CommandError("[ERROR] unknown variable 'sense=1'")
        return ""

    monkeypatch.setattr(stack, "_differs", lambda _folder, _release, name: name == "mysql")
    monkeypatch.setattr(stack, "run", docker)
    with pytest.raises(CommandError, match="unknown variable 'sense=1'"):
        stack.plan("new", allowed=True)
    (validated,) = ran
    # The release's own files, not those that are in place.
    where = validated.index("--project-directory")
    assert validated[where + 1] == str(stack.RELEASES / "new")
    with pytest.raises(CommandError, match="allow_interruption=true"):
        stack.plan("new", allowed=False)


def test_every_secret_is_shown_when_asked_for_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service, mysql = tmp_path / "service", tmp_path / "mysql"
    accounts = ("migrator", "service", "backup", "root")
    secrets = {service / "auth_password": "api's", service / "webhook_secret": "webhook's"}
    secrets |= {mysql / f"{name}_password": f"{name}'s" for name in accounts}
    for path, secret in secrets.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{secret}\n")
    (service / "database_url").touch()
    monkeypatch.setattr(
        secret_files, "folder", lambda volume="": mysql if "mysql" in volume else service
    )
    monkeypatch.setattr(credentials, "_active_release", lambda: "1")
    monkeypatch.setattr(credentials.colours, "dotenv", dict)
    monkeypatch.setattr(credentials, "PENDING", tmp_path / "rotation.json")

    def shown(*, password: bool) -> dict[str, str]:
        credentials._show(argparse.Namespace(password=password))
        lines = capsys.readouterr().out.splitlines()
        return {line[:15].strip(): line[15:] for line in lines}

    labels = ["API password", "Webhook secret", *accounts]
    with_them, without = shown(password=True), shown(password=False)
    assert [with_them[label] for label in labels] == list(secrets.values())
    assert [without[label] for label in labels] == [f"sudo cat {path}" for path in secrets]


@pytest.mark.parametrize(("down", "seconds", "up"), [(2, 60, True), (1000, 0, False)])
def test_a_database_that_restarts_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, down: int, seconds: float, up: bool
) -> None:
    tries: list[str] = []

    def query(_server: Server, sql: str) -> list[list[str]]:
        tries.append(sql)
        if len(tries) <= down:
            raise BackupError("cannot connect")
        return [["1"]]

    monkeypatch.setattr(Server, "query", query)
    monkeypatch.setattr("mysql_session.time.sleep", lambda _seconds: None)
    server = Server("mysql", "backup")
    if up:
        server.wait_until_up(seconds)
        assert len(tries) == down + 1
    else:
        with pytest.raises(BackupError, match="cannot connect"):
            server.wait_until_up(seconds)

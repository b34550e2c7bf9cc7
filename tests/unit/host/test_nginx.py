"""nginx's configuration on the host, and what its workers and its log tell."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
import yaml
from order_service.host import CommandError
from order_service.release import nginx

from tests.support.clock import Clock
from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost
from tests.support.service_process import REPOSITORY


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


def contents(folder: Path) -> dict[str, str | None]:
    """Return what is in each file, and None for each folder."""
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_mirror_replaces_what_differs_and_touches_nothing_else(folders: tuple[Path, Path]) -> None:
    source, target = folders
    same, inode = (target / "same.conf").stat(), target.stat().st_ino
    nginx.mirror(source, target)
    expected = {"same.conf": "same", "parts": None, "parts/other.conf": "new", "folder": None}
    assert contents(target) == expected
    assert target.stat().st_ino == inode
    after = (target / "same.conf").stat()
    # Not all of it: to be read is no change, and counts as the last access.
    assert (after.st_ino, after.st_mtime_ns) == (same.st_ino, same.st_mtime_ns)


def test_mirror_leaves_a_file_whole_on_a_full_disk(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = folders

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        nginx.mirror(source, target)
    assert contents(target / "parts") == {"other.conf": "old"}


def test_two_reloads_are_done_one_after_the_other(docker: FakeDocker) -> None:
    """The files of the settings are made anew: the second would find none in the middle of that."""
    other = threading.Thread(target=nginx.reload)

    def made() -> int:
        return sum("20-envsubst" in command for command in docker.ran)

    def begin_the_other(_: str) -> None:
        docker.watch = lambda _: None
        other.start()
        other.join(0.5)
        assert made() == 1

    docker.watch = begin_the_other
    nginx.reload()
    other.join(10)
    assert made() == 2


def test_new_workers_have_to_start(docker: FakeDocker, clock: Clock) -> None:
    docker.reload_works = False
    with pytest.raises(CommandError, match="did not start workers with the new configuration"):
        nginx.reload()
    assert clock.now == pytest.approx(nginx.DRAIN_SECONDS, abs=1)


@pytest.mark.parametrize("ends", [True, False])
def test_the_last_requests_are_waited_for(docker: FakeDocker, clock: Clock, ends: bool) -> None:
    def go_on() -> None:
        if not ends or clock.now < 20:
            docker.leaving = {"9"}

    go_on()
    clock.on_sleep = go_on
    assert nginx.wait_for_former_workers() is ends
    assert clock.now == pytest.approx(20 if ends else nginx.DRAIN_SECONDS, abs=1)


def test_the_nginx_that_serves_tries_a_configuration(on: FakeHost, docker: FakeDocker) -> None:
    """The image that an older release names may be gone."""
    (on.root / "releases/old/docker-compose.yml").unlink()
    nginx.check("old")
    assert docker.did == ["try nginx with old"]


def test_nginx_starts_again_whatever_release_it_has_gone_back_to() -> None:
    """The release before may lack a file, and Docker then has a folder to mount on a file."""
    mounted: dict[str, str] = {}
    for file in ("docker-compose.yml", "deploy/host/base.yml"):
        text = (REPOSITORY / file).read_text().replace("!override", "").replace("!reset", "")
        for volume in yaml.safe_load(text)["services"]["nginx"]["volumes"]:
            source, target = volume.split(":")[:2]
            mounted[target] = source
    files = {source for source in mounted.values() if (REPOSITORY / source).is_file()}
    # This one has been there since the first release.
    assert files == {"./deploy/nginx/check-settings.sh"}

"""The host's program is one file: of one version, whatever becomes of it meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest
from order_service import program
from order_service.host import CommandError

from tests.support.service_process import REPOSITORY

HOST = REPOSITORY / "deploy" / "host"
# A program that loads a module once it is told to.
LATE = """
import sys
from pathlib import Path

def main():
    print("begun", flush=True)
    sys.stdin.readline()
    from order_service.late import VERSION
    print(VERSION)
"""


@pytest.fixture
def place(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the host's program is put."""
    monkeypatch.setattr(program, "LINK", root / "bin" / "order-service")
    (root / "bin").mkdir()
    for release in ("old", "new"):
        folder = root / "releases" / release / "deploy"
        shutil.copytree(HOST, folder / "host")
    with (root / "releases/new/deploy/host/order_service/host.py").open("a") as file:
        file.write("\n# Of another release.\n")
    return root / "order-service"


def test_it_is_one_file_that_people_can_call(root: Path, place: Path) -> None:
    assert program.install("old")
    told = subprocess.run(
        [sys.executable, root / "bin" / "order-service", "--help"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert "bring a release into service" in told
    assert place.stat().st_mode & 0o777 == 0o755
    assert place.read_bytes().startswith(b"#!/usr/bin/python3\n")
    assert not program.install("old")
    assert program.install("new")


def test_one_that_somebody_has_damaged_is_mended(place: Path) -> None:
    program.install("old")
    good = place.read_bytes()
    place.write_bytes(good + b"#")
    assert program.install("old")
    assert place.read_bytes() == good


def test_an_interrupted_installation_leaves_the_former_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.install("old")
    former = place.read_bytes()
    with monkeypatch.context() as cut:
        cut.setattr(os, "fsync", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            program.install("new")
    assert place.read_bytes() == former
    assert program.install("new")
    assert place.read_bytes() != former


def _interrupt(_: int) -> None:
    raise KeyboardInterrupt


def test_a_release_that_is_not_there_is_named(place: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere/deploy/host is missing: .* not on this host"):
        program.install("nowhere")
    assert not place.exists()


def test_one_that_runs_is_not_changed_by_one_that_takes_its_place(tmp_path: Path) -> None:
    place = tmp_path / "order-service"
    for version in ("old", "the new one"):
        folder = tmp_path / version
        (folder / "order_service").mkdir(parents=True)
        shutil.copy(HOST / "__main__.py", folder)
        (folder / "order_service/__init__.py").touch()
        (folder / "order_service/commands.py").write_text(LATE)
        (folder / "order_service/late.py").write_text(f"VERSION = {version!r}\n")
    zipapp.create_archive(tmp_path / "old", place)
    with subprocess.Popen(
        [sys.executable, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        assert running.stdout.readline() == "begun\n"
        zipapp.create_archive(tmp_path / "the new one", tmp_path / "new")
        (tmp_path / "new").replace(place)
        told, _ = running.communicate("go on\n", timeout=30)
    assert told == "old\n"
    again = [sys.executable, str(place)]
    told = subprocess.run(again, capture_output=True, check=True, input="\n", text=True).stdout
    assert told == "begun\nthe new one\n"

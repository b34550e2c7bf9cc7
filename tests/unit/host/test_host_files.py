"""Files and folders of a host: brought to what they should be, and nothing else is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_modules import OwnModule

DRIFTS = ["content", "mode", "gone"]
if os.geteuid() == 0:
    # Nobody else gives files away.
    DRIFTS.append("owner")


@pytest.fixture
def host_files(tmp_path_factory: pytest.TempPathFactory) -> OwnModule:
    return OwnModule("library/host_files.py", tmp_path_factory.mktemp("module"))


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o7777:04o}"


def contents(folder: Path) -> dict[str, str | None]:
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_what_is_missing_is_made_and_then_left_alone(host_files: OwnModule, tmp_path: Path) -> None:
    folder, file, key = tmp_path / "a" / "b", tmp_path / "a" / "b" / "text", tmp_path / "a" / "key"
    files = [
        {"path": str(folder), "state": "directory", "mode": "0750"},
        {"path": str(file), "content": "eins\nzwei: ü\n"},
        {"path": str(key), "content": "secret", "mode": "0400"},
    ]
    dry = host_files.run(files=files, check_mode=True)
    assert contents(tmp_path) == {}
    made = host_files.run(files=files)
    assert contents(tmp_path) == {
        "a": None, "a/b": None, "a/b/text": "eins\nzwei: ü\n", "a/key": "secret",
    }  # fmt: skip
    assert [mode(path) for path in (folder.parent, folder, file, key)] == [
        "0755", "0750", "0644", "0400",
    ]  # fmt: skip
    assert made["changed_paths"] == dry["changed_paths"] == [str(folder), str(file), str(key)]
    before = file.stat().st_mtime_ns
    again = host_files.run(files=files)
    assert (again["changed"], again["changed_paths"], again["diff"]) == (False, [], [])
    assert file.stat().st_mtime_ns == before
    assert again["modified"] == {str(file): int(file.stat().st_mtime), str(key): int(before / 1e9)}


def lasting(path: Path) -> tuple[int, ...] | None:
    """Return what only a change of the file changes; reading it changes its last access."""
    if not path.exists():
        return None
    status = path.stat()
    return status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns


@pytest.mark.parametrize("drift", DRIFTS)
def test_what_has_drifted_is_mended(host_files: OwnModule, tmp_path: Path, drift: str) -> None:
    file, other = tmp_path / "settings", tmp_path / "other"
    entries: list[dict[str, Any]] = [
        {"path": str(file), "content": "right\n"},
        {"path": str(other), "content": "other\n"},
    ]
    host_files.run(files=entries)
    match drift:
        case "content":
            file.write_text("wrong\n")
        case "mode":
            file.chmod(0o666)
        case "owner":
            os.chown(file, 12, 34)
        case "gone":
            file.unlink()
    drifted = lasting(file)
    dry = host_files.run(files=entries, check_mode=True)
    assert lasting(file) == drifted
    mended = host_files.run(files=entries)
    assert dry["changed_paths"] == mended["changed_paths"] == [str(file)]
    status = file.stat()
    assert (file.read_text(), mode(file)) == ("right\n", "0644")
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def test_the_difference_is_shown_for_what_changes(host_files: OwnModule, tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("old\n")
    told = host_files.run(files=[{"path": str(file), "content": "new\n"}], check_mode=True)
    assert told["diff"] == [
        {"before_header": str(file), "before": "old\n", "after_header": str(file), "after": "new\n"}
    ]


def test_what_is_to_be_there_once_is_left_as_it_is(host_files: OwnModule, tmp_path: Path) -> None:
    entry = {"path": str(tmp_path / "upstream"), "content": "blue", "once": True}
    assert host_files.run(files=[entry])["changed"]
    (tmp_path / "upstream").write_text("green")
    assert not host_files.run(files=[entry])["changed"]
    assert (tmp_path / "upstream").read_text() == "green"


def test_what_is_to_be_absent_goes_with_all_that_is_in_it(
    host_files: OwnModule, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "file").touch()
    kept.mkdir()
    (tmp_path / "folder" / "link").symlink_to(kept)
    entry = {"path": str(tmp_path / "folder"), "state": "absent"}
    assert host_files.run(files=[entry], check_mode=True)["changed"]
    assert (tmp_path / "folder" / "deep" / "file").exists()
    assert host_files.run(files=[entry])["changed"]
    assert contents(tmp_path) == {"kept": None}
    assert not host_files.run(files=[entry])["changed"]


def test_where_one_is_refused_none_is_written(host_files: OwnModule, tmp_path: Path) -> None:
    files = [
        {"path": str(tmp_path / "first"), "content": "good\n"},
        {"path": str(tmp_path / "rules"), "content": "bad\n", "validate": "grep -q good %s"},
    ]
    refused = host_files.run(files=files)
    assert refused["failed"]
    assert refused["msg"].startswith(f"{tmp_path}/rules would not be valid")
    assert contents(tmp_path) == {}
    files[1]["content"] = "good\n"
    assert host_files.run(files=files)["changed"]


def test_what_cannot_be_written_is_said_without_a_traceback(
    host_files: OwnModule, tmp_path: Path
) -> None:
    told = host_files.run(files=[{"path": str(tmp_path / "no" / "file"), "content": "text"}])
    assert told["failed"]
    assert "No such file or directory" in told["msg"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"state": "directory"}, "is a file, expected a folder"),
        ({"path": "folder", "content": "text"}, "is a folder, expected a file"),
    ],
    ids=["a file", "a folder"],
)
def test_what_is_of_another_kind_stays_as_it_is(
    host_files: OwnModule, tmp_path: Path, entry: dict[str, str], said: str
) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    path = tmp_path / entry.get("path", "file")
    for check_mode in (True, False):
        told = host_files.run(files=[entry | {"path": str(path)}], check_mode=check_mode)
        assert told["failed"]
        assert said in told["msg"]
    assert contents(tmp_path) == {"file": "kept", "folder": None}

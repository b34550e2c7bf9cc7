"""What a restore needs: decided by names and manifests."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from order_service.backup.settings import BackupError
from order_service.backup.store import Store
from order_service.restore.plan import Plan, check_key, choose, parse_until

from tests.support.stored_backups import UUID, add_backup, add_copy


def logs(plan: Plan) -> list[int]:
    return [copy.number for copy in plan.copies]


def test_the_newest_backup_is_taken_but_not_what_a_restore_replaced(tmp_path: Path) -> None:
    add_backup(tmp_path, "2026-11-20T000000Z")
    add_backup(tmp_path, "2026-11-21T000000Z", kind="before-restore")
    assert choose(Store(tmp_path), None, None).manifest["id"] == "2026-11-20T000000Z"
    named = choose(Store(tmp_path), "2026-11-21T000000Z", None)
    assert named.manifest["id"] == "2026-11-21T000000Z"
    assert named.copies == []


def test_a_new_host_that_is_still_empty_is_not_restored_from(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add_backup(tmp_path, "2026-11-20T000000Z")
    add_backup(tmp_path, "2026-11-21T000000Z", server="new", orders=0)
    for until in (None, "latest", "2026-11-22 00:00:00"):
        if until and until != "latest":
            add_copy(tmp_path, 1, "2026-11-22T000000Z")
        found = choose(store, None, until, foreign=True)
        assert found.manifest["id"] == "2026-11-20T000000Z"


def test_backups_of_two_servers_in_one_place_have_to_be_named(tmp_path: Path) -> None:
    add_backup(tmp_path, "2026-11-20T000000Z", server="aa")
    add_backup(tmp_path, "2026-11-21T000000Z", server="bb")
    store = Store(tmp_path)
    with pytest.raises(BackupError, match="2026-11-20T000000Z of host-aa; 2026-11-21T000000Z of"):
        choose(store, None, "latest", foreign=True)
    named = choose(store, "2026-11-20T000000Z", "latest", foreign=True)
    assert named.manifest["host"] == "host-aa"
    # The host's own folder: its server was replaced, and what is newest is what it had last.
    assert choose(store, None, None).manifest["host"] == "host-bb"


def test_a_moment_takes_the_backup_before_and_the_logs_until_then(tmp_path: Path) -> None:
    add_backup(tmp_path, "2026-11-20T000000Z", log=3)
    add_backup(tmp_path, "2026-11-21T000000Z", log=5)
    for number, stamp in enumerate(["20T000500Z", "20T001000Z", "21T000500Z", "21T001000Z"], 3):
        add_copy(tmp_path, number, f"2026-11-{stamp}")
    store = Store(tmp_path)
    at = choose(store, None, "2026-11-20 00:07:00")
    assert (at.manifest["id"], logs(at)) == ("2026-11-20T000000Z", [3, 4])
    at = choose(store, None, "2026-11-21 00:05:00")
    assert (at.manifest["id"], logs(at)) == ("2026-11-21T000000Z", [5])
    # What was committed in the second of the backup may be in it already.
    assert choose(store, None, "2026-11-21 00:00:00").manifest["id"] == "2026-11-20T000000Z"
    latest = choose(store, None, "latest")
    assert (latest.until, logs(latest)) == (None, [5, 6])


def test_a_moment_that_nothing_reaches_is_refused(tmp_path: Path) -> None:
    add_backup(tmp_path, "2026-11-20T000000Z")
    add_copy(tmp_path, 1, "2026-11-20T000500Z")
    store = Store(tmp_path)
    with pytest.raises(BackupError, match="end at 2026-11-20 00:05:00 UTC"):
        choose(store, None, "2026-11-20 00:05:01")
    with pytest.raises(BackupError, match="no backup is older"):
        choose(store, None, "2026-11-19 00:00:00")
    # Nothing was written since, says the last run: then there is nothing to replay either.
    noted = {"server_uuid": UUID, "until": "2026-11-20T00:10:00Z"}
    (tmp_path / "last-binlog.json").write_text(json.dumps(noted))
    assert logs(choose(store, None, "2026-11-20 00:10:00")) == [1]


def test_a_missing_log_is_refused_only_where_it_is_needed(tmp_path: Path) -> None:
    add_backup(tmp_path, "2026-11-20T000000Z")
    for number in (1, 3):
        add_copy(tmp_path, number, f"2026-11-20T000{number}00Z")
    store = Store(tmp_path)
    assert logs(choose(store, None, "2026-11-20 00:01:00")) == [1]
    for until in ("2026-11-20 00:02:00", "latest"):
        with pytest.raises(BackupError, match=r"binlog\.000002 is missing"):
            choose(store, None, until)


@pytest.mark.parametrize("key", ["complete_until", "last_commit"])
def test_of_logs_that_were_copied_at_once_those_before_the_moment_are_all_taken(
    tmp_path: Path, key: str
) -> None:
    """As after a day on which nothing could be copied; older copies note the last commit alone."""
    add_backup(tmp_path, "2026-11-20T000000Z")
    for number, hour in enumerate(("08", "10", "12"), start=1):
        noted = {key: f"2026-11-20T{hour}:00:00.000000+00:00"}
        add_copy(tmp_path, number, "2026-11-20T130000Z", noted=noted)
    store = Store(tmp_path)
    assert logs(choose(store, None, "2026-11-20 07:00:00")) == [1]
    assert logs(choose(store, None, "2026-11-20 09:00:00")) == [1, 2]
    assert logs(choose(store, None, "2026-11-20 11:00:00")) == [1, 2, 3]
    with pytest.raises(BackupError, match="end at 2026-11-20 12:00:00 UTC"):
        choose(store, None, "2026-11-20 12:30:00")


def test_a_log_without_a_commit_says_nothing_of_those_after_it(tmp_path: Path) -> None:
    add_backup(tmp_path, "2026-11-20T000000Z")
    add_copy(tmp_path, 1, "2026-11-20T130000Z", noted={"complete_until": None})
    noted = {"complete_until": "2026-11-20T13:00:00+00:00"}
    add_copy(tmp_path, 2, "2026-11-20T130000Z", noted=noted)
    assert logs(choose(Store(tmp_path), None, "2026-11-20 11:00:00")) == [1, 2]


@pytest.mark.parametrize("text", ["yesterday", "10:15", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BackupError, match="expected latest, or a time in UTC"):
        parse_until(text)


def test_times_are_utc_unless_they_say_else() -> None:
    assert parse_until("2026-11-22T10:15:00") == datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    assert parse_until("2026-11-22T10:15:00+02:00") == datetime(2026, 11, 22, 8, 15, tzinfo=UTC)


def test_a_backup_that_is_not_there_is_refused_and_the_others_are_named(tmp_path: Path) -> None:
    add_backup(tmp_path, "2026-11-20T000000Z")
    with pytest.raises(BackupError, match="there are: 2026-11-20T000000Z"):
        choose(Store(tmp_path), "2026-11-20", None)


@pytest.mark.parametrize("text", ["", "{", '{"id": "x"}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    add_backup(tmp_path, "2026-11-20T000000Z")
    (tmp_path / "2026-11-20T000000Z" / "manifest.json").write_text(text)
    with pytest.raises(BackupError, match="is damaged"):
        choose(Store(tmp_path), "2026-11-20T000000Z", None)
    with pytest.raises(BackupError, match=r"no backup in .* that can be read"):
        choose(Store(tmp_path), None, None)


def test_backups_of_before_they_had_secrets_are_restored(tmp_path: Path) -> None:
    add_backup(tmp_path, "2026-11-20T000000Z")
    path = tmp_path / "2026-11-20T000000Z" / "manifest.json"
    assert "secrets" not in json.loads(path.read_text())
    store = Store(tmp_path)
    assert store.secrets(choose(store, None, None).manifest) is None


def test_a_manifest_that_names_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    """Who has the copies off the host may have changed them."""
    for part in ("dump", "secrets"):
        add_backup(tmp_path / part, "2026-11-20T000000Z")
        path = tmp_path / part / "2026-11-20T000000Z" / "manifest.json"
        manifest = json.loads(path.read_text())
        (manifest if part == "dump" else manifest.setdefault("secrets", {}))["file"] = "../x.zst"
        path.write_text(json.dumps(manifest))
        with pytest.raises(BackupError, match=r"is damaged: \.\./x\.zst is no file's name"):
            choose(Store(tmp_path / part), "2026-11-20T000000Z", None)
    add_backup(tmp_path, "2026-11-21T000000Z")
    path = tmp_path / "2026-11-21T000000Z" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id": "../../etc"}))
    with pytest.raises(BackupError, match=r"is damaged: it is of '\.\./\.\./etc'"):
        choose(Store(tmp_path), "2026-11-21T000000Z", None)


@pytest.mark.parametrize("encrypted", ["dump", "binary log", "nothing"])
def test_the_private_key_is_asked_for_before_anything_is_touched(
    tmp_path: Path, encrypted: str
) -> None:
    add_backup(tmp_path, "2026-11-20T000000Z")
    add_copy(tmp_path, 1, "2026-11-20T000500Z")
    store = Store(tmp_path)
    plan = choose(store, None, "latest")
    plan.manifest["file"] = "orders.sql.zst.age" if encrypted == "dump" else "orders.sql.zst"
    if encrypted == "binary log":
        (copy,) = plan.copies
        plan = replace(plan, copies=[replace(copy, name=f"{copy.name}.age")])
    check_key(store, plan, tmp_path / "identity")
    if encrypted == "nothing":
        check_key(store, plan, None)
    else:
        with pytest.raises(BackupError, match=r"\.zst\.age is encrypted; .*restore_identity_file"):
            check_key(store, plan, None)

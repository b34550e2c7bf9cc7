"""`flask processing pause`, `resume` and `show`: the same as `/processing`, from a command line."""

from __future__ import annotations

import getpass

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.app import create_app
from service.storage.receiver import lock_state, set_away
from tests.support.answers import json_of
from tests.support.commands import (
    assert_fails,
    assert_wrong_usage,
    fields_from,
    json_from,
    run,
)
from tests.support.databases import ONLY_SQLITE, settings_for
from tests.support.inspection import Store
from tests.support.ports import free_port

GOES_ON = {
    "paused": "False",
    "paused_by": "-",
    "paused_at": "-",
    "reason": "-",
    "receiver state": "ok",
    "receiver since": "-",
    "receiver until": "-",
}


def test_pause_show_and_resume(app: Flask, client: FlaskClient) -> None:
    assert fields_from(app, "processing", "show") == GOES_ON
    by = f"command line: {getpass.getuser()}"
    paused = fields_from(app, "processing", "pause", "--reason", "a stocktaking")
    assert paused == fields_from(app, "processing", "show")
    told = json_of(client.get("/processing"))
    assert (told["paused"], told["paused_by"], told["reason"]) == (True, by, "a stocktaking")
    assert paused == GOES_ON | {
        "paused": "True",
        "paused_by": by,
        "paused_at": told["paused_at"],
        "reason": "a stocktaking",
    }
    assert fields_from(app, "processing", "resume") == GOES_ON
    assert json_of(client.get("/processing"))["paused"] is False


def test_programs_get_what_the_api_answers(app: Flask, client: FlaskClient, store: Store) -> None:
    store.run(lock_state)
    store.run(lambda its: set_away(its, 60.0, first=True))
    for arguments in (["show"], ["pause", "--reason", "é"], ["show"], ["resume"]):
        found = json_from(app, "processing", *arguments)
        assert found == json_of(client.get("/processing"))
        assert found["receiver"]["state"] == "away"
        assert found["receiver"]["until"] is not None


@ONLY_SQLITE
@pytest.mark.parametrize(
    "arguments",
    [
        ["pause"],
        ["pause", "--reason", ""],
        ["pause", "--reason", "x" * 1001],
        ["pause", "--reason", "\udcff"],
        ["resume", "now"],
        ["stop"],
    ],
    ids=lambda arguments: ascii(arguments)[:40],
)
def test_wrong_usage_pauses_nothing(app: Flask, arguments: list[str]) -> None:
    assert_wrong_usage(run(app, "processing", *arguments))
    assert fields_from(app, "processing", "show") == GOES_ON


@pytest.mark.parametrize("arguments", [["show"], ["pause", "--reason", "x"], ["resume", "--json"]])
def test_a_lost_database_is_one_line(arguments: list[str]) -> None:
    url = f"mysql+pymysql://orders:hunter2@127.0.0.1:{free_port()}/orders"
    result = run(create_app(settings_for(url)), "processing", *arguments)
    assert_fails(result, "database", "DATABASE_URL")
    assert "hunter2" not in result.output

"""Credentials that an operator chose."""

from __future__ import annotations

from base64 import b64encode

import pytest

from service.app import create_app
from tests.support.databases import settings_for


@pytest.mark.parametrize(
    ("username", "password"),
    [("ops", "pa:ss:word"), ("jürgen", "пароль€"), ("a b", "x" * 200), ("ops", " ")],
)
def test_any_text_may_be_a_credential(sqlite_url: str, username: str, password: str) -> None:
    settings = settings_for(sqlite_url, auth_username=username, auth_password=password)
    client = create_app(settings).test_client()
    given = b64encode(f"{username}:{password}".encode()).decode()
    wrong = b64encode(f"{username}:{password}x".encode()).decode()
    # An unknown path needs no database.
    assert client.get("/x", headers={"Authorization": f"Basic {given}"}).status_code == 404
    assert client.get("/x", headers={"Authorization": f"Basic {wrong}"}).status_code == 401


def test_the_password_before_is_taken_while_there_is_one(sqlite_url: str) -> None:
    new = {"auth_username": "ops", "auth_password": "new"}

    def statuses(previous: str | None) -> list[int]:
        settings = settings_for(sqlite_url, **new, auth_password_previous=previous)
        client = create_app(settings).test_client()
        given = ("ops:new", "ops:old", "ops:", "other:old", "other:new")
        headers = [{"Authorization": f"Basic {b64encode(g.encode()).decode()}"} for g in given]
        return [client.get("/x", headers=header).status_code for header in headers]

    assert statuses("old") == [404, 404, 401, 401, 401]
    assert statuses(None) == [404, 401, 401, 401, 401]

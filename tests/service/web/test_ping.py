"""`GET /ping` and `GET /healthz`: that the process serves, whatever the database does."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.app import create_app
from tests.support.answers import json_of
from tests.support.databases import settings_for


@pytest.mark.parametrize(
    ("path", "body"), [("/ping", {"message": "success"}), ("/healthz", {"status": "ok"})]
)
def test_answers_without_a_database(tmp_path: Path, path: str, body: object) -> None:
    # A folder is no database.
    answer = create_app(settings_for(f"sqlite:///{tmp_path}")).test_client().get(path)
    assert answer.status_code == 200
    assert json_of(answer) == body

"""`GET /metrics` for Prometheus: what is to be seen of events, and that none cost nothing."""

from __future__ import annotations

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.storage.models import ProcessingState, db
from service.storage.receiver import lock_state, set_away
from tests.support.databases import settings_for
from tests.support.inspection import Store
from tests.support.service_process import AUTHORIZATION
from tests.support.statements import statements
from tests.support.states import pass_time_for_events
from tests.support.stored_events import end_orders

RECEIVER = ProcessingState.EVENTS_ROW
WANTED = {"events_url": "http://127.0.0.1:9/", "events_secret": "s"}


def figures(app: Flask) -> dict[str, float]:
    """Return the figures without labels that the database is asked for, by their names."""
    with app.app_context(), statements(db.engine) as sent:
        answer = app.test_client().get("/metrics", headers=AUTHORIZATION | {"Accept": "text/plain"})
        assert answer.status_code == 200
        asked = [one.sql for one in sent]
        db.engine.dispose()
    samples = [
        sample
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if not sample.labels
    ]
    found = {sample.name.removeprefix("order_service_"): sample.value for sample in samples}
    assert any("FROM events" in sql for sql in asked) == ("waiting_events" in found)
    return found


@pytest.mark.parametrize("away", [False, True])
def test_events_and_their_receiver(url: str, store: Store, away: bool) -> None:
    end_orders(store, [1, 2])
    pass_time_for_events(store, 100)
    if away:
        store.run(lambda its: lock_state(its, RECEIVER))
        store.run(lambda its: set_away(its, 60.0, first=True, row=RECEIVER))
    found = figures(create_app(settings_for(url, **WANTED)))
    assert found["waiting_events"] == 2
    assert 100 <= found["oldest_due_event_age_seconds"] < 160
    assert found["events_receiver_away"] == away
    assert found["receiver_away"] == 0


def test_without_a_receiver_there_are_none(url: str, store: Store) -> None:
    end_orders(store, [1])
    found = figures(create_app(settings_for(url)))
    assert found["receiver_away"] == 0
    assert not {name for name in found if "event" in name}

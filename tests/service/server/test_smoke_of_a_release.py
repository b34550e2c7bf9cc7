"""What a rollout on the host does with a release before it serves, and how it reads its figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service.host import CommandError
from order_service.release import smoke
from order_service.release.measures import Meter
from sqlalchemy import create_engine, text

from service.storage.models import db
from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.service_process import Server

# What a processor writes by itself, whatever clients do.
ITS_OWN = {"processing_state", "processors", "samples"}
# Of this column the service knows nothing, and it has no default.
BREAKS_INSERTS = "ALTER TABLE orders ADD COLUMN note VARCHAR(20) NOT NULL"


def contents(url: str) -> dict[str, list[str]]:
    """Return the rows of each table that clients have a part in."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = {
            table.name: sorted(str(row) for row in connection.execute(table.select()))
            for table in db.metadata.sorted_tables
            if table.name not in ITS_OWN
        }
    engine.dispose()
    return rows


@pytest.mark.parametrize(
    "unmigrated_url", [pytest.param("mysql", marks=pytest.mark.mysql)], indirect=True
)
def test_the_smoke_test_stores_nothing_and_sees_that_nothing_could_be(
    tmp_path: Path, own_url: str
) -> None:
    with Server(tmp_path, own_url, SIMULATE_MAX_MILLISECONDS=0) as server:
        client = server.start().client
        asking = smoke.Client("127.0.0.1", server.port, "admin", "securepassword")
        assert smoke.test(asking) is False
        client.post(order_body(1))
        wait_until(lambda: client.get("/orders/1").json()["status"] == "Completed", 10, "its end")
        before = contents(own_url)

        assert smoke.test(asking) is True
        assert contents(own_url) == before
        figures = Meter(asking, "").read()
        assert (figures.attempts, figures.failing) == (1, 0)
        assert max(figures.requests["POST /orders"].values()) == 4

        engine = create_engine(own_url)
        with engine.begin() as connection:
            connection.execute(text(BREAKS_INSERTS))
        engine.dispose()
        with pytest.raises(CommandError, match=r"POST /orders answered 50\d, expected 409"):
            smoke.test(asking)

"""What `status` on a host reads of a service that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service.release import colours, ledger, smoke
from order_service.status import processing
from order_service.status.line import Line

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.service_process import Server


def test_it_tells_how_orders_are_processed(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = ledger.Ledger(active="old", releases=[])
    monkeypatch.setattr(ledger, "read", lambda: deployed)
    monkeypatch.setattr(colours, "serving", lambda: colours.Colour("blue"))
    nobody = f"http://{HOST}:{free_port()}"
    events = {"EVENTS_URL": nobody, "EVENTS_SECRET": "a secret of the tests"}
    with Server(tmp_path, sqlite_url, SIMULATE_MAX_MILLISECONDS=0, **events) as server:
        client = server.start().client
        asking = smoke.Client(HOST, server.port, "admin", "securepassword")
        monkeypatch.setattr(processing, "client_of", lambda _: asking)

        def told() -> dict[str, Line]:
            return {line.part: line for line in processing.processing()}

        wait_until(lambda: told()["processors"].good, 10, "a processor")
        assert told()["queue"] == Line("queue", "no order is due")
        client.post(order_body(1))
        wait_until(lambda: processing.ended() == (1, 0), 10, "the order's end")
        wait_until(lambda: "events receiver" in told(), 20, "a receiver that is away")
        asking.ask("POST", "/processing/pause", '{"reason": "trying"}')
        assert told()["pause"].text.startswith("none is processed since 20")

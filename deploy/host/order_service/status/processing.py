"""How orders are processed, as the service that serves tells it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from order_service.dotenv import WEB, has_part
from order_service.host import CommandError
from order_service.release import colours
from order_service.release import ledger as ledgers
from order_service.release.measures import client_of
from order_service.release.smoke import Client
from order_service.status import samples
from order_service.status.line import Line, age, when

HTTP_OK = 200
# The same as of Prometheus' rules, as far as there are such.
QUEUE_SECONDS = 300
FAILED_SHARE = 0.05
# Of fewer, one that has failed is no reason to wake anybody.
FEWEST_ENDED = 20
PAUSED = timedelta(hours=1)
AWAY = timedelta(minutes=15)
_FIGURE = re.compile(r'^order_service_(\w+)(?:\{status="(\w+)"\})? (\S+)$', re.MULTILINE)


def processing() -> Iterator[Line]:
    """Tell about the queue, who works on it, what stops it, and how orders end."""
    if ledgers.read()["active"] is None:
        return
    client = client_of(colours.serving())
    figures, state = _figures(client), _state(client)
    away, paused = state["receiver"]["since"], state["paused_at"] if state["paused"] else None
    waits = figures["oldest_due_order_age_seconds"]
    # A pause and an absence have lines of their own.
    excused = bool(away or paused)
    text = f"the longest due order has waited for {waits:.0f} s" if waits else "no order is due"
    yield Line("queue", text, good=waits <= QUEUE_SECONDS or excused)
    count = figures["processors"]
    yield Line("processors", f"{count:.0f} at work", good=count > 0)
    if paused:
        yield Line("pause", f"none is processed since {when(paused)}", good=age(paused) < PAUSED)
    if away:
        yield Line("receiver", f"away since {when(away)}", good=age(away) < AWAY)
    if counted := samples.ended_since(*_ended(figures)):
        ended, failed = counted
        text = f"{failed:.0f} of {ended:.0f} that have ended in half an hour have failed"
        few = "few" if ended < FEWEST_ENDED else ""
        yield Line("orders", text, good=failed <= FAILED_SHARE * ended, subject=few)
    # There are such figures only where events are wanted.
    if figures.get("events_receiver_away"):
        yield Line("events receiver", "away", good=False)
    elif waits := figures.get("oldest_due_event_age_seconds", 0):
        text = f"the longest due event has waited for {waits:.0f} s"
        yield Line("events", text, good=waits <= QUEUE_SECONDS)


def ended() -> tuple[float, float] | None:
    """Return how many orders are completed, and failed; None where nobody tells."""
    if not has_part(WEB):
        return None
    try:
        return _ended(_figures(client_of(colours.serving())))
    except (CommandError, OSError, KeyError, ValueError):
        return None  # `processing` says why


def _ended(figures: dict[str, float]) -> tuple[float, float]:
    return figures["orders Completed"], figures["orders Failed"]


def _figures(client: Client) -> dict[str, float]:
    page = client.figures()
    found = {" ".join(filter(None, name)): float(value) for *name, value in _FIGURE.findall(page)}
    if not found.get("database_up"):
        raise CommandError("the database does not answer the service")
    return found


def _state(client: Client) -> dict[str, Any]:
    status, answer = client.ask("GET", "/processing")
    if status != HTTP_OK:
        raise CommandError(f"GET /processing answers {status}")
    state: dict[str, Any] = answer
    return state

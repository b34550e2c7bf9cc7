"""`flask events list` and `resend`: the events of orders that ended, and sending them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import click
from flask.cli import AppGroup
from sqlalchemy import Connection

from service.commands.output import (
    MOMENT,
    as_json,
    explain_failures,
    is_wanted,
    operator,
    print_json,
    print_page,
)
from service.runtime import runtime
from service.storage import audit
from service.storage import events as dao
from service.storage.moments import format_moment, parse_moment
from service.storage.outbox import EventState
from service.web.fields import LARGEST_ID

events_cli = AppGroup("events", help="See the events of orders that ended, and send them again.")

COLUMNS = (
    *("id", "type", "order_id", "state", "attempts", "created_at", "delivered_at"),
    *("next_attempt_at", "last_status", "last_error", "message_id"),
)
# Events that are changed in one transaction, and that one statement of a count looks at.
BATCH, COUNTED = 100, 5000
FINISHED = (EventState.FAILED.value, EventState.DELIVERED.value)


@events_cli.command("list")
@click.option("--state", type=click.Choice([state.value for state in EventState]))
@click.option("--order", "order_id", type=click.IntRange(1, LARGEST_ID))
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--after", type=click.IntRange(1), help="Go on after the event with this id.")
@as_json
@explain_failures
def list_events(
    state: str | None, order_id: int | None, limit: int, after: int | None, as_json: bool
) -> None:
    """List events, newest first."""
    found = runtime().database.statement(
        lambda connection: dao.list_events(
            connection, limit=limit + 1, state=state, order_id=order_id, before=after
        )
    )
    rows = [[_shown(getattr(row, column)) for column in COLUMNS] for row in found]
    print_page(COLUMNS, rows, limit, as_json=as_json)


def _shown(value: object) -> object:
    return format_moment(value) if isinstance(value, datetime) else value


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The events with a state that were written in a time, up to the event `end`."""

    state: EventState
    created_from: datetime
    created_to: datetime | None
    end: int

    def following(
        self, connection: Connection, after: int, limit: int
    ) -> tuple[Sequence[int], int]:
        """Look at the next `limit` events: see `service.storage.events.next_to_resend`."""
        return dao.next_to_resend(
            connection,
            self.state,
            self.created_from,
            self.created_to,
            after=after,
            end=self.end,
            limit=limit,
        )

    def __str__(self) -> str:
        to = f" to {format_moment(self.created_to)}" if self.created_to else ""
        return f"{self.state.value} from {format_moment(self.created_from)}{to}"


@events_cli.command("resend")
@click.argument("event_ids", nargs=-1, type=click.IntRange(1, LARGEST_ID))
@click.option("--from", "created_from", type=MOMENT, help="All that were written since then.")
@click.option("--to", "created_to", type=MOMENT, help="Written before this.")
@click.option("--state", type=click.Choice(FINISHED), help="Of those: Failed unless it is named.")
@click.option("--dry-run", is_flag=True, help="Only say how many events match.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@explain_failures
def resend_events(
    event_ids: tuple[int, ...],
    *,
    created_from: str | None,
    created_to: str | None,
    state: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Deliver events again, with all their attempts; by id, or all that were written in a time.

    The receiver gets the same webhook-id as before. A receiver that is away is tried at once.
    """
    if bool(event_ids) == (created_from is not None):
        raise click.UsageError("name ids of events, or --from")
    if event_ids and (created_to or state or dry_run):
        raise click.UsageError("--to, --state and --dry-run go with --from")
    if event_ids:
        _resend_each(list(dict.fromkeys(event_ids)), as_json=as_json)
        return
    wanted = _Wanted(
        EventState(state or EventState.FAILED),
        parse_moment(str(created_from)),
        None if created_to is None else parse_moment(created_to),
        runtime().database.statement(dao.newest_event),
    )
    _resend_all(wanted, dry_run=dry_run, yes=yes, as_json=as_json)


def _resend_each(ids: Sequence[int], *, as_json: bool) -> None:
    changed = 0
    for start in range(0, len(ids), BATCH):
        chosen = ids[start : start + BATCH]
        changed += runtime().database.transaction(partial(_resend_some, ids=chosen))
    _conclude(changed, as_json=as_json)
    if left := len(ids) - changed:
        raise click.ClickException(f"{left} of them are not there, or are being delivered just now")


def _resend_some(connection: Connection, ids: Sequence[int]) -> int:
    changed = dao.resend(connection, ids)
    if changed:
        subject = ", ".join(map(str, ids))
        audit.record(connection, operator(), audit.Act.EVENT_RESEND, subject, f"{changed} events")
    return changed


def _resend_all(wanted: _Wanted, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    number = _count(wanted)
    question = f"Send {number} events again?"
    if not is_wanted(number, "events", question, dry_run=dry_run, yes=yes, as_json=as_json):
        return
    database = runtime().database
    detail = f"{number} events"
    database.transaction(
        lambda connection: audit.record(
            connection, operator(), audit.Act.EVENT_RESEND, wanted, detail
        )
    )
    total, after = 0, 0
    while True:
        changed, after = database.transaction(partial(_resend_next, wanted=wanted, after=after))
        total += changed
        if not after:
            break
    _conclude(total, as_json=as_json)


def _count(wanted: _Wanted) -> int:
    total, after = 0, 0
    while True:
        found, after = runtime().database.statement(
            partial(wanted.following, after=after, limit=COUNTED)
        )
        total += len(found)
        if not after:
            return total


def _resend_next(connection: Connection, wanted: _Wanted, after: int) -> tuple[int, int]:
    found, last = wanted.following(connection, after, BATCH)
    return dao.resend(connection, found) if found else 0, last


def _conclude(changed: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"changed": changed})
    else:
        click.echo(f"{changed} events are sent again.")
    if runtime().settings.events_url is None:
        click.echo("EVENTS_URL is not set here: a processor that knows it sends them.", err=True)

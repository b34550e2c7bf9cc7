"""`flask orders list`, `show` and `stats`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click
from flask.cli import AppGroup
from marshmallow import ValidationError

from service.commands.output import MOMENT, as_json, explain_failures, print_json, print_table
from service.runtime import runtime
from service.storage import orders as dao
from service.storage.attempts import all_attempts
from service.storage.fleet import read_fleet
from service.storage.models import OrderStatus
from service.storage.moments import parse_moment
from service.storage.order_lists import Page, Wanted, list_page
from service.storage.statistics import read_statistics
from service.web.fields import LARGEST_ID, Cursor, encode_cursor
from service.web.processing_schemas import AttemptSchema, ProcessingSchema
from service.web.schemas import LARGEST_LIMIT, FullOrderSchema, StatisticsSchema

orders_cli = AppGroup("orders", help="Look at orders, put failed ones back, cancel, archive.")
_COLUMNS = ("order_id", "user_id", "status", "attempts", "total_amount", "created_at", "last_error")
_ATTEMPT_COLUMNS = ("attempt", "started_at", "ended_at", "result", "error", "worker")


@orders_cli.command("list")
@click.option("--status", type=click.Choice([status.value for status in OrderStatus]))
@click.option("--user", "--user-id", "user_id", type=click.IntRange(1, LARGEST_ID))
@click.option("--from", "created_from", type=MOMENT, help="Accepted at or after this moment.")
@click.option("--to", "created_to", type=MOMENT, help="Accepted before this moment.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--after", help="Go on after an earlier list; it printed this.")
@as_json
@explain_failures
def list_orders(limit: int, after: str | None, as_json: bool, **filters: Any) -> None:
    """List orders, newest first."""
    query = {name: value for name, value in filters.items() if value is not None}
    if "status" in query:
        query["statuses"] = [OrderStatus(query.pop("status"))]
    for name in {"created_from", "created_to"} & set(query):
        query[name] = parse_moment(query[name])
    found = _read_pages(Wanted(**query), limit, None if after is None else _cursor(after))
    page = FullOrderSchema().dump(found.rows, many=True)
    following = None if found.before is None else encode_cursor(found.before)
    if as_json:
        print_json(page)
    else:
        print_table(_COLUMNS, [[order[column] for column in _COLUMNS] for order in page])
    if following:
        click.echo(f"There are more: --after {following}", err=True)


def _cursor(text: str) -> int:
    try:
        row_id: int = Cursor().deserialize(text)
    except ValidationError:
        raise click.BadParameter("not what an earlier list printed", param_hint="--after") from None
    return row_id


def _read_pages(wanted: Wanted, limit: int, before: int | None) -> Page:
    rows: list[Any] = []
    while True:
        size = min(limit - len(rows), LARGEST_LIMIT)
        page = runtime().database.statement(
            partial(list_page, wanted=wanted, limit=size, before=before)
        )
        rows += page.rows
        before = page.before
        if before is None or len(rows) == limit:
            return Page(rows, before)


@orders_cli.command("show")
@click.argument("order_id", type=click.IntRange(1, LARGEST_ID))
@as_json
@explain_failures
def show_order(order_id: int, as_json: bool) -> None:
    """Show one order, which client posted it, and the attempts at it."""
    database = runtime().database
    row = database.statement(lambda connection: dao.get_order(connection, order_id))
    if row is None:
        raise click.ClickException(f"there is no order {order_id}")
    order = FullOrderSchema().dump(row) | {"client": row.client}
    found = database.statement(lambda connection: all_attempts(connection, row))
    attempts = AttemptSchema().dump(found, many=True)
    if as_json:
        print_json(order | {"attempt_list": attempts})
        return
    print_table(("field", "value"), order.items())
    if attempts:
        click.echo()
        rows = [[attempt[column] for column in _ATTEMPT_COLUMNS] for attempt in attempts]
        print_table(_ATTEMPT_COLUMNS, rows)


@orders_cli.command("stats")
@as_json
@explain_failures
def show_statistics(as_json: bool) -> None:
    """Count the orders by status, and say what the processors do."""
    database = runtime().database
    statistics = database.statement(read_statistics)
    fleet = database.statement(read_fleet)
    processing = ProcessingSchema().dump(fleet.state)
    figures = StatisticsSchema().dump(statistics) | {
        "waiting_orders": statistics.waiting,
        "queue_age_seconds": statistics.oldest_due_seconds,
        "processors": fleet.processors,
        "running_operations": fleet.running_operations,
        "paused": processing["paused"],
        "receiver": processing["receiver"]["state"],
    }
    if as_json:
        print_json(figures)
    else:
        print_table(("figure", "value"), figures.items())

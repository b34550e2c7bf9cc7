"""`flask orders retry` and `cancel`: orders by id at once, or all that match, as an operation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import click
from flask.cli import with_appcontext
from sqlalchemy import Connection

from service.commands.output import (
    MOMENT,
    TextType,
    as_json,
    explain_failures,
    is_wanted,
    operator,
    plain,
    print_json,
)
from service.runtime import runtime
from service.storage import operations as dao
from service.storage import order_changes
from service.storage.fleet import read_fleet
from service.storage.operations import STATUSES, Action, NewOperation, OperationState
from service.storage.order_changes import OneChange
from service.web.fields import LARGEST_ID
from service.web.processing_schemas import LONGEST_ERROR_PART, OperationSchema

# Rows that one statement of a count looks at, and seconds between two looks at the progress.
COUNTED, LOOK_SECONDS = 5000, 0.5

# Changes the order with that id; returns None when there is none.
Changer = Callable[[Connection, int], OneChange | None]


def _filter_options(action: Action) -> Callable[[Any], Any]:
    statuses = [status.value for status in STATUSES[action]]
    options = [
        click.argument("order_ids", nargs=-1, type=click.IntRange(1, LARGEST_ID)),
        click.option("--status", type=click.Choice(statuses), help="All orders with this status."),
        click.option("--user", "user_id", type=click.IntRange(1, LARGEST_ID)),
        click.option("--from", "created_from", type=MOMENT, help="Accepted at or after this."),
        click.option("--to", "created_to", type=MOMENT, help="Accepted before this."),
        click.option(
            "--error-contains",
            type=TextType(LONGEST_ERROR_PART),
            help="Whose last error contains this text.",
        ),
        click.option("--dry-run", is_flag=True, help="Only say how many orders match."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--no-wait", is_flag=True, help="Do not show the progress."),
        as_json,
    ]

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command("retry")
@_filter_options(Action.RETRY)
@click.option("--new-key", is_flag=True, help="Give the handler another idempotency token.")
@with_appcontext
@explain_failures
def retry_orders(order_ids: tuple[int, ...], new_key: bool, **options: Any) -> None:
    """Put failed orders back, with all their attempts before them; by id, or all that match.

    An order that waits for a later attempt makes it now.
    """

    def change(connection: Connection, order_id: int) -> OneChange | None:
        return order_changes.retry_one(connection, order_id, operator(), new_key=new_key)

    _run(Action.RETRY, order_ids, change, new_key=new_key, **options)


@click.command("cancel")
@_filter_options(Action.CANCEL)
@with_appcontext
@explain_failures
def cancel_orders(order_ids: tuple[int, ...], **options: Any) -> None:
    """Cancel orders on which nobody works yet; by id, or all that match."""

    def change(connection: Connection, order_id: int) -> OneChange | None:
        return order_changes.cancel_one(connection, order_id, operator())

    _run(Action.CANCEL, order_ids, change, new_key=False, **options)


def _run(
    action: Action,
    order_ids: Sequence[int],
    change: Changer,
    *,
    new_key: bool,
    as_json: bool,
    dry_run: bool,
    yes: bool,
    no_wait: bool,
    **filters: Any,
) -> None:
    given = {name: value for name, value in filters.items() if value is not None}
    if bool(order_ids) == bool(given):
        raise click.UsageError(f"name order ids, or filters such as --status; {action} needs one")
    if order_ids and dry_run:
        raise click.UsageError("--dry-run is for filters; to look at an order: flask orders show")
    if order_ids:
        _change_each(action, list(dict.fromkeys(order_ids)), change, as_json=as_json)
        return
    new = NewOperation(action, given, operator(), new_key)
    number = _count(new)
    question = f"{action.value.capitalize()} {number} orders?"
    if not is_wanted(number, "orders", question, dry_run=dry_run, yes=yes, as_json=as_json):
        return
    _run_operation(new, as_json=as_json, wait=not no_wait)


def _change_each(
    action: Action, order_ids: Sequence[int], change: Changer, *, as_json: bool
) -> None:
    done = {Action.RETRY: "is Pending again", Action.CANCEL: "is Cancelled"}[action]
    problems: dict[int, str] = {}
    for order_id in order_ids:
        if problem := runtime().database.transaction(
            lambda connection: _change_one(connection, action, order_id, change)  # noqa: B023
        ):
            problems[order_id] = problem
        elif not as_json:
            click.echo(f"Order {order_id} {done}.")
    if as_json:
        changed = [order_id for order_id in order_ids if order_id not in problems]
        print_json({"changed": changed, "problems": {str(k): v for k, v in problems.items()}})
    elif problems:
        raise click.ClickException("\n".join(problems.values()))
    if problems:
        raise SystemExit(1)


def _change_one(
    connection: Connection, action: Action, order_id: int, change: Changer
) -> str | None:
    """Change one order; return why that cannot be."""
    found = change(connection, order_id)
    if found is None:
        return f"there is no order {order_id}"
    if found.changed:
        return None
    allowed = {
        Action.RETRY: "only a Failed order, or one that waits for a later attempt, can be retried",
        Action.CANCEL: "only a Pending order can be cancelled",
    }[action]
    return f"order {order_id} is {found.status.value}; {allowed}"


def _count(new: NewOperation) -> int:
    database = runtime().database
    end = database.statement(dao.newest_row)
    total, after = 0, 0
    while True:
        found, after = database.statement(
            lambda connection: dao.count_matching(connection, new, after, end, COUNTED)  # noqa: B023
        )
        total += found
        if not after:
            return total


def _run_operation(new: NewOperation, *, as_json: bool, wait: bool) -> None:
    database = runtime().database
    number = database.transaction(lambda connection: dao.insert_operation(connection, new))
    if not as_json:
        click.echo(f"Operation {number} runs in the service; it goes on if you leave (Ctrl-C).")
        if not database.statement(read_fleet).processors:
            click.echo("No processor lives now: it begins once one does.")
    row = database.statement(lambda connection: dao.get_operation(connection, number))
    shown = -1
    while wait and row is not None and row.state == OperationState.RUNNING.value:
        if not as_json and row.changed != shown:
            click.echo(f"{row.changed} orders changed, {row.skipped} skipped ...")
            shown = row.changed
        time.sleep(LOOK_SECONDS)
        row = database.statement(lambda connection: dao.get_operation(connection, number))
    if as_json:
        print_json(OperationSchema().dump(row))
    elif row is not None and wait:
        ending = f": {plain(row.error)}" if row.error else ""
        click.echo(f"{row.state}: {row.changed} orders changed, {row.skipped} skipped{ending}")
    if row is not None and row.state == OperationState.FAILED.value:
        raise SystemExit(1)

"""The operator's commands: `flask orders …` and `flask process-orders`."""

from __future__ import annotations

import logging.config
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext

from service.config import ConfigError
from service.runtime import runtime
from service.storage import orders as dao
from service.storage.failures import describe, is_unavailable
from service.storage.models import OrderStatus
from service.storage.statistics import read_statistics
from service.telemetry.logs import logging_config
from service.web.schemas import LARGEST_ID, LARGEST_LIMIT, FullOrderSchema, StatisticsSchema

P = ParamSpec("P")
T = TypeVar("T")

orders_cli = AppGroup("orders", help="Look at orders and put failed ones back.")
_order_id = click.argument("order_id", type=click.IntRange(1, LARGEST_ID))
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_COLUMNS = ("order_id", "user_id", "status", "attempts", "total_amount", "created_at", "last_error")


def init_app(app: Flask) -> None:
    """Register the commands."""
    app.cli.add_command(orders_cli)
    app.cli.add_command(process_orders)


def _explain_failures(command: Callable[P, T]) -> Callable[P, T]:
    """Turn a database that does not answer into one line instead of a traceback."""

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            if not is_unavailable(error):
                raise
            raise click.ClickException(
                f"the database does not answer ({describe(error)}); check DATABASE_URL, and that"
                " `flask db upgrade` has run"
            ) from None

    return wrapper


@orders_cli.command("list")
@click.option("--status", type=click.Choice([status.value for status in OrderStatus]))
@click.option("--user-id", type=click.IntRange(1, LARGEST_ID))
@click.option("--limit", type=click.IntRange(1, LARGEST_LIMIT), default=20, show_default=True)
@_as_json
@_explain_failures
def list_orders(status: str | None, user_id: int | None, limit: int, as_json: bool) -> None:
    """List orders, newest first."""
    rows = runtime().database.statement(
        lambda connection: dao.list_orders(
            connection,
            limit=limit,
            status=OrderStatus(status) if status else None,
            user_id=user_id,
        )
    )
    found = FullOrderSchema().dump(rows, many=True)
    if as_json:
        _print_json(found)
    else:
        _print_table(_COLUMNS, [[order[column] for column in _COLUMNS] for order in found])


@orders_cli.command("show")
@_order_id
@_as_json
@_explain_failures
def show_order(order_id: int, as_json: bool) -> None:
    """Show one order."""
    row = runtime().database.statement(lambda connection: dao.get_order(connection, order_id))
    if row is None:
        raise click.ClickException(f"there is no order {order_id}")
    order = FullOrderSchema().dump(row)
    if as_json:
        _print_json(order)
    else:
        _print_table(("field", "value"), order.items())


@orders_cli.command("retry")
@_order_id
@_explain_failures
def retry_order(order_id: int) -> None:
    """Put a failed order back, with all its attempts before it."""
    database = runtime().database
    if database.transaction(lambda connection: dao.retry_failed(connection, order_id)):
        click.echo(f"Order {order_id} is Pending again.")
        return
    status = database.statement(lambda connection: dao.get_status(connection, order_id))
    if status is None:
        raise click.ClickException(f"there is no order {order_id}")
    raise click.ClickException(f"order {order_id} is {status}; only a Failed order can be retried")


@orders_cli.command("stats")
@_as_json
@_explain_failures
def show_statistics(as_json: bool) -> None:
    """Count the orders by status."""
    figures = StatisticsSchema().dump(runtime().database.statement(read_statistics))
    if as_json:
        _print_json(figures)
    else:
        _print_table(("figure", "value"), figures.items())


@click.command("process-orders")
@with_appcontext
def process_orders() -> None:
    """Process orders without a web server, until SIGTERM or Ctrl-C."""
    current = runtime()
    logging.config.dictConfig(logging_config(current.settings))
    stop = threading.Event()
    broken = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def give_up() -> None:
        broken.set()
        stop.set()

    if not current.settings.processor_threads:
        raise click.ClickException("PROCESSOR_THREADS is 0; expected at least 1 to process orders")
    try:
        current.start_processor(on_broken=give_up)
    except ConfigError as problem:
        raise click.ClickException(str(problem)) from None
    stop.wait()
    current.stop_processor()
    if broken.is_set():
        sys.exit(1)


def _print_json(value: Any) -> None:
    click.echo(current_app.json.dumps(value))


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    lines = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    # What is stored may hold what a terminal obeys.
    text = "-" if value is None else " ".join(str(value).split())
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)

"""`flask audit list`: who did what."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from service.commands.output import as_json, explain_failures, print_page
from service.runtime import runtime
from service.storage import audit
from service.storage.moments import format_moment

audit_cli = AppGroup("audit", help="See who did what.")

COLUMNS = ("id", "at", "who", "action", "subject", "detail", "request_id")


@audit_cli.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--after", type=click.IntRange(1), help="Go on after the entry with this id.")
@as_json
@explain_failures
def list_entries(limit: int, after: int | None, as_json: bool) -> None:
    """List what was done, newest first."""
    found = runtime().database.statement(
        lambda connection: audit.list_entries(connection, limit=limit + 1, before=after)
    )
    rows = [(row.id, format_moment(row.at), *row[2:]) for row in found]
    print_page(COLUMNS, rows, limit, as_json=as_json)

"""`flask orders archive`: finished orders out of the tables, into compressed files."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import with_appcontext

from service.archive import ArchiveError, Archiver
from service.commands.output import DURATION, as_json, explain_failures, print_json
from service.runtime import runtime


@click.command("archive")
@click.option("--older-than", type=DURATION, required=True, help="Finished so long ago: 90d.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder of the files.",
)
@as_json
@with_appcontext
@explain_failures
def archive_orders(older_than: float, folder: Path, as_json: bool) -> None:
    """Move finished orders to compressed JSON Lines in FOLDER, each file with a checksum.

    It can be interrupted, and repeated. The metrics keep counting the orders.
    """
    archiver = Archiver(runtime().database, folder)
    total = 0
    try:
        for file, orders in archiver.run(older_than):
            total += orders
            if not as_json:
                click.echo(f"{orders} orders in {file.name}")
    except ArchiveError as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as problem:  # the disk is full, say
        raise click.ClickException(
            f"cannot write to {problem.filename or folder} ({problem.strerror})"
        ) from None
    if as_json:
        print_json({"archived": total, "folder": str(folder)})
    else:
        click.echo(f"{total} orders archived.")

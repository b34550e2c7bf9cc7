"""`flask processing …`: pause all processors, and have them go on."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from service.commands.output import (
    TextType,
    as_json,
    explain_failures,
    operator,
    print_json,
    print_table,
)
from service.runtime import runtime
from service.storage import processing_state
from service.web.processing_schemas import LONGEST_REASON, ProcessingSchema

processing_cli = AppGroup("processing", help="Pause and resume the processing of orders.")


@processing_cli.command("show")
@as_json
@explain_failures
def show(as_json: bool) -> None:
    """Say whether processing pauses, and whether the receiver is away."""
    _print(as_json)


@processing_cli.command("pause")
@click.option(
    "--reason",
    type=TextType(LONGEST_REASON),
    required=True,
    help="Why; everybody who looks is told.",
)
@as_json
@explain_failures
def pause(reason: str, as_json: bool) -> None:
    """Have all processors of all hosts claim nothing more."""
    runtime().database.transaction(
        lambda connection: processing_state.pause(connection, operator(), reason)
    )
    _print(as_json)


@processing_cli.command("resume")
@as_json
@explain_failures
def resume(as_json: bool) -> None:
    """Have them claim again, and try at once a receiver that was away."""
    runtime().database.transaction(
        lambda connection: processing_state.resume(connection, operator())
    )
    _print(as_json)


def _print(as_json: bool) -> None:
    state = runtime().database.statement(processing_state.read_state)
    shown = ProcessingSchema().dump(state)
    if as_json:
        print_json(shown)
        return
    receiver = shown.pop("receiver")
    rows = [*shown.items(), *((f"receiver {name}", value) for name, value in receiver.items())]
    print_table(("field", "value"), rows)

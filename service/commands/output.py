"""What the commands print, and how they explain failures."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click
from flask import current_app

from service.setting_values import DELAY_UNITS
from service.storage.failures import describe, is_permanent, is_unavailable
from service.storage.moments import parse_moment
from service.web.fields import is_unicode

P = ParamSpec("P")
T = TypeVar("T")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class MomentType(click.ParamType[str]):
    """RFC 3339 text, kept as it is."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the text."""
        try:
            parse_moment(str(value))
        except ValueError as problem:
            self.fail(str(problem), param, ctx)
        return str(value)


class TextType(click.ParamType[str]):
    """Text of 1 to `longest` characters."""

    name = "text"

    def __init__(self, longest: int) -> None:
        self.longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the text."""
        text = str(value)
        if not 1 <= len(text) <= self.longest:
            self.fail(f"expected 1 to {self.longest} characters", param, ctx)
        if not is_unicode(text):
            self.fail("not valid UTF-8", param, ctx)
        return text


class DurationType(click.ParamType[float]):
    """A time like `90d`, in seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        found = re.fullmatch(r"([0-9]{1,5})([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no duration; expected one like 90d, 12h or 30m", param, ctx)
        return float(found[1]) * DELAY_UNITS[found[2]]


MOMENT, DURATION = MomentType(), DurationType()


def explain_failures(command: Callable[P, T]) -> Callable[P, T]:
    """Turn a database that does not answer, or refuses, into one line instead of a traceback."""

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            if is_permanent(error):
                raise click.ClickException(
                    f"the database refuses this ({describe(error)}); check that"
                    " `flask db upgrade` has run"
                ) from None
            if not is_unavailable(error):
                raise
            raise click.ClickException(
                f"the database does not answer ({describe(error)}); check DATABASE_URL, and that"
                " `flask db upgrade` has run"
            ) from None

    return wrapper


def operator() -> str:
    """Return who calls the command, for what is recorded of it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        name = str(os.getuid())
    return f"command line: {name}"


def print_json(value: Any) -> None:
    """Print one line of JSON, in which all but printable ASCII is escaped."""
    click.echo(current_app.json.dumps(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table, in which nothing that was stored is obeyed by a terminal."""
    lines = [list(columns), *([plain(value) for value in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def print_page(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], limit: int, *, as_json: bool
) -> None:
    """Print the first `limit` rows, which begin with their id, and how to go on after them."""
    page = rows[:limit]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in page])
    else:
        print_table(columns, page)
    if len(rows) > limit:
        click.echo(f"There are more: --after {page[-1][0]}", err=True)


def is_wanted(
    number: int, what: str, question: str, *, dry_run: bool, yes: bool, as_json: bool
) -> bool:
    """Return whether to change what matches; ask unless `yes`, and only count for a dry run."""
    if not dry_run:
        return yes or click.confirm(question, abort=True, err=as_json)
    if as_json:
        print_json({"matching": number})
    else:
        click.echo(f"{number} {what} match; nothing was changed.")
    return False


def plain(value: object) -> str:
    """Return the value as text of printable characters."""
    text = "-" if value is None else " ".join(str(value).split())
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)

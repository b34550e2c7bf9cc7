"""Moments: the database's clock, and how a moment is written."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

MICROSECONDS = 1_000_000
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class utcnow(FunctionElement[Any]):  # noqa: N801 - a SQL function, named like one
    """The database's clock, in UTC with microseconds; `offset` seconds (a float) are added."""

    type = DateTime()
    inherit_cache = True
    name = "utcnow"

    def __init__(self, offset: Any = None) -> None:
        super().__init__(*(() if offset is None else (offset,)))


@compiles(utcnow, "mysql")
def _utcnow_mysql(element: utcnow, compiler: Any, **kwargs: Any) -> str:
    if not len(element.clauses):
        return "UTC_TIMESTAMP(6)"
    offset = compiler.process(element.clauses, **kwargs)
    return f"TIMESTAMPADD(MICROSECOND, ROUND(1000000 * ({offset})), UTC_TIMESTAMP(6))"


@compiles(utcnow, "sqlite")
def _utcnow_sqlite(element: utcnow, compiler: Any, **kwargs: Any) -> str:
    # SQLite's clock has milliseconds; the zeros make the text as wide as SQLAlchemy writes it,
    # so that moments compare as text.
    modifier = ""
    if len(element.clauses):
        offset = compiler.process(element.clauses, **kwargs)
        modifier = f", printf('%+.3f seconds', {offset})"
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now'{modifier}) || '000')"


class microseconds_between(FunctionElement[int]):  # noqa: N801 - as above
    """The microseconds from one moment to a later one, as an integer.

    To read that costs a fraction of what a moment does.
    """

    type = BigInteger()
    inherit_cache = True
    name = "microseconds_between"


@compiles(microseconds_between, "mysql")
def _microseconds_mysql(element: microseconds_between, compiler: Any, **kwargs: Any) -> str:
    return f"TIMESTAMPDIFF(MICROSECOND, {compiler.process(element.clauses, **kwargs)})"


@compiles(microseconds_between, "sqlite")
def _microseconds_sqlite(element: microseconds_between, compiler: Any, **kwargs: Any) -> str:
    first, second = (compiler.process(one, **kwargs) for one in element.clauses)
    seconds = f"(strftime('%s', {second}) - strftime('%s', {first}))"
    # Text, of which the fraction's six digits come last; whole seconds have none.
    parts = f"substr({second}, 21, 6) - substr({first}, 21, 6)"
    return f"({seconds} * 1000000 + {parts})"


def format_moment(moment: datetime) -> str:
    """Format a naive UTC moment as RFC 3339, with microseconds and Z."""
    return moment.isoformat(timespec="microseconds") + "Z"


def parse_moment(text: str) -> datetime:
    """Return the naive UTC moment that RFC 3339 text names.

    Raises:
        ValueError: it is no such text; "2026-01-31T12:00:00Z" is.
    """
    if _RFC_3339.fullmatch(text):
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(tzinfo=None)
    raise ValueError(f"{text!r} is no moment; expected one like 2026-01-31T12:00:00Z")

"""What is not good, since when, and what somebody was told of it: `state/alerts.json`.

Where the disk is full it is kept in memory until there is room again.

An entry for each trouble, by its key, with times in seconds since 1970:

    since, seen     when it was found first and last
    told            when somebody was told last; null until then
    over            when it was found to be over; null until then
    reading         what of `status` has found it
    name ... guide  what is told
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

from order_service.alerts.rules import Rule, troubles
from order_service.host import RUN, STATE, read_json, write_json
from order_service.status.line import Line
from order_service.status.status import UNKNOWN

PATH = STATE / "alerts.json"
IN_MEMORY = RUN / "order-service-alert" / "alerts.json"
# What comes and goes within that is one trouble.
CALM_SECONDS = 180
REPEAT_SECONDS = 86_400
MINUTE = 60
LONGEST = 500


class Entry(TypedDict):
    """One trouble."""

    since: float
    seen: float
    told: float | None
    over: float | None
    reading: str
    minutes: int
    name: str
    severity: str
    text: str
    advice: str
    guide: str


Book = dict[str, Entry]


def read() -> Book:
    """Return what was written down last."""
    book: Any = read_json(IN_MEMORY if IN_MEMORY.exists() else PATH, {})
    return dict(book)


def write(book: Book) -> None:
    """Put it in place."""
    try:
        write_json(PATH, book)
        IN_MEMORY.unlink(missing_ok=True)
    except OSError:
        write_json(IN_MEMORY, book)


def look(book: Book, readings: dict[str, list[Line]], now: float) -> None:
    """Enter what is not good, and what is over."""
    source = {id(line): name for name, lines in readings.items() for line in lines}
    for key, rule, line in troubles(line for lines in readings.values() for line in lines):
        _enter(book, key, _entry(rule, line, source[id(line)]), now)
    unknown = {
        name for name, lines in readings.items() if any(one.subject == UNKNOWN for one in lines)
    }
    for key, entry in list(book.items()):
        if entry["reading"] in unknown and entry["over"] is None:
            entry["seen"] = now  # as far as anybody knows
        elif now - entry["seen"] >= CALM_SECONDS:
            if is_due(entry):
                entry["over"] = entry["over"] or now
            else:
                del book[key]


def _entry(rule: Rule, line: Line, reading: str) -> dict[str, Any]:
    return {
        "reading": reading,
        "minutes": rule.minutes,
        "name": rule.name,
        "severity": rule.severity,
        "text": f"{line.part}: {line.text}"[:LONGEST],
        "advice": rule.advice,
        "guide": rule.guide,
    }


def _enter(book: Book, key: str, found: dict[str, Any], now: float) -> None:
    begun: Any = book.get(key, {"since": now, "told": None})
    book[key] = begun | found | {"seen": now, "over": None}


def is_due(entry: Entry) -> bool:
    """Return whether it has lasted for so long that somebody is told."""
    return entry["seen"] - entry["since"] >= entry["minutes"] * MINUTE


def lasts(book: Book) -> bool:
    """Return whether something is not good that somebody is told of, or has still to be told."""
    return any(map(is_due, book.values()))


def to_tell(book: Book, now: float) -> Iterator[tuple[str, Entry, bool]]:
    """Give what is to be told: its key, its entry, and whether it is over.

    What is told and what is not is for the caller to note, with `told`.
    """
    for key, entry in sorted(book.items(), key=lambda item: item[1]["since"]):
        if not is_due(entry):
            continue
        told = entry["told"]
        if told is None or (entry["over"] is None and now - told >= REPEAT_SECONDS):
            yield key, entry, False
        if entry["over"] is not None:
            yield key, entry, True


def told(book: Book, key: str, now: float, *, over: bool) -> None:
    """Note that somebody was told."""
    if over:
        del book[key]
    else:
        book[key]["told"] = now

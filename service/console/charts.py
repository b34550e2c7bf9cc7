"""Charts of the samples, as figures from which a template draws SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Row

from service.console.text import duration, number

Samples = Sequence[Row[*tuple[Any, ...]]]

WIDTH, HEIGHT = 480, 96
# Of a bar's share of the width; the rest is the gap to the next.
BAR_SHARE = 0.8
SMALLEST_BAR = 1.5
TICKS, TICK_WIDTH = 4, 34


@dataclass(frozen=True, slots=True)
class Span:
    """How much of the past is shown: `minutes`, in bars of `step` minutes."""

    name: str
    minutes: int
    step: int

    @property
    def bars(self) -> int:
        """How many bars there are at most."""
        return self.minutes // self.step


SPANS = {span.name: span for span in (Span("1h", 60, 1), Span("24h", 1440, 15))}


@dataclass(frozen=True, slots=True)
class Part:
    """A rectangle: a bar, or one of those that are stacked in a bar."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with the text that explains it."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its bars, the value of its upper edge, and its axis as (x, text)."""

    title: str
    summary: str
    top: str
    bars: list[Bar]
    ticks: list[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class _Point:
    minute: int
    values: tuple[tuple[str, float], ...]
    title: str

    @property
    def height(self) -> float:
        return sum(value for _, value in self.values)


def throughput(samples: Samples, span: Span) -> Chart:
    """Draw how many orders were finished a minute, failed ones on top."""
    points = []
    for one, following in pairwise(samples):
        minutes = following.minute - one.minute
        if minutes > 2 * span.step:  # nobody was there to take samples
            continue
        # An operator's retry takes from the failed ones.
        completed = max(0, following.completed - one.completed) / minutes
        failed = max(0, following.failed - one.failed) / minutes
        points.append(
            _Point(
                one.minute,
                (("completed", completed), ("failed", failed)),
                f"{completed:,.0f} completed and {failed:,.0f} failed a minute",
            )
        )
    return _chart("Finished a minute", points, samples, span, lambda value: f"{value:,.0f}")


def backlog(samples: Samples, span: Span) -> Chart:
    """Draw how many orders were unfinished, those that wait for a later attempt on top."""
    points = []
    for one in samples:
        others = max(0, one.pending + one.processing - one.waiting)
        text = f"{number(others)} to do and {number(one.waiting)} waiting for a later attempt"
        points.append(_Point(one.minute, (("due", others), ("waiting", one.waiting)), text))
    return _chart("Backlog", points, samples, span, lambda value: f"{value:,.0f}")


def age(samples: Samples, span: Span) -> Chart:
    """Draw for how long the order that is due the longest has been due."""
    points = [
        _Point(
            one.minute,
            (("age", one.oldest_due_seconds),),
            f"the oldest was due for {duration(one.oldest_due_seconds)}",
        )
        for one in samples
    ]
    return _chart("Oldest due", points, samples, span, duration)


def _chart(
    title: str, points: list[_Point], samples: Samples, span: Span, write: Callable[[float], str]
) -> Chart:
    if not samples:
        return Chart(title, "no samples yet", "", [], [])
    end = samples[0].now + 1
    top = max((point.height for point in points), default=0.0)
    share = WIDTH / span.bars
    bars = []
    for point in points:
        slot = span.bars - 1 - (end - 1 - point.minute) // span.step
        at = _clock(point.minute)
        bars.append(Bar(f"{at}: {point.title}", _stack(point, slot * share, share, top)))
    summary = f"{write(points[-1].height)} at last, {write(top)} at most" if points else "too early"
    return Chart(title, summary, write(top) if top else "", bars, _ticks(end, span))


def _stack(point: _Point, x: float, share: float, top: float) -> tuple[Part, ...]:
    parts, y = [], float(HEIGHT)
    for kind, value in point.values:
        if value <= 0:
            continue
        height = max(SMALLEST_BAR, value / top * HEIGHT)
        y = max(0.0, y - height)
        parts.append(Part(kind, round(x, 1), round(y, 1), round(share * BAR_SHARE, 1), height))
    return tuple(parts)


def _ticks(end: int, span: Span) -> list[tuple[float, str]]:
    begin = end - span.minutes
    every = span.minutes // TICKS
    first = -(-begin // every) * every
    ticks = [
        (round((minute - begin) / span.minutes * WIDTH, 1), _clock(minute))
        for minute in range(first, end, every)
    ]
    return [(x, text) for x, text in ticks if x <= WIDTH - TICK_WIDTH]


def _clock(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%H:%M")

"""Charts: what is drawn of the samples, and what stays a gap."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from service.console import charts
from service.console.text import duration, moment, number

NOW = 30_000_000
HOUR, DAY = charts.SPANS["1h"], charts.SPANS["24h"]


def sample(ago: int, **figures: float) -> Any:
    names = ("pending", "processing", "completed", "failed", "waiting", "oldest_due_seconds")
    return SimpleNamespace(**{**dict.fromkeys(names, 0), **figures}, minute=NOW - ago, now=NOW)


def test_throughput_is_what_two_samples_differ_by() -> None:
    samples = [
        sample(3, completed=100, failed=10),
        sample(2, completed=160, failed=30),
        sample(1, completed=160, failed=0),  # an operator put them back
        sample(0, completed=161, failed=0),
    ]
    chart = charts.throughput(samples, HOUR)
    assert [bar.title.partition(": ")[2] for bar in chart.bars] == [
        "60 completed and 20 failed a minute",
        "0 completed and 0 failed a minute",
        "1 completed and 0 failed a minute",
    ]
    completed, failed = chart.bars[0].parts
    assert (completed.kind, failed.kind) == ("completed", "failed")
    assert completed.height == pytest.approx(charts.HEIGHT * 60 / 80)
    assert failed.y == pytest.approx(0)
    assert chart.bars[1].parts == ()
    assert chart.bars[2].parts[0].height == charts.SMALLEST_BAR
    assert (chart.top, chart.summary) == ("80", "1 at last, 80 at most")


def test_a_gap_in_the_samples_is_a_gap() -> None:
    samples = [sample(30, completed=0), sample(20, completed=1000), sample(19, completed=1010)]
    chart = charts.throughput(samples, HOUR)
    assert [bar.title for bar in chart.bars] == ["07:40: 10 completed and 0 failed a minute"]


def test_a_longer_span_tells_the_mean_of_a_minute() -> None:
    samples = [sample(30), sample(15, completed=150), sample(0, completed=180)]
    chart = charts.throughput(samples, DAY)
    assert [bar.title.partition(": ")[2].split()[0] for bar in chart.bars] == ["10", "2"]
    assert chart.bars[1].parts[0].x > chart.bars[0].parts[0].x
    assert chart.bars[1].parts[0].x < charts.WIDTH


def test_the_backlog_and_its_age() -> None:
    samples = [sample(1, pending=10, waiting=4, processing=2, oldest_due_seconds=90)]
    assert (
        charts.backlog(samples, HOUR)
        .bars[0]
        .title.endswith("8 to do and 4 waiting for a later attempt")
    )
    assert charts.age(samples, HOUR).bars[0].title.endswith("was due for 1 min 30 s")
    assert [text for _, text in charts.age(samples, HOUR).ticks] == [
        "07:15",
        "07:30",
        "07:45",
    ]


def test_without_samples_there_is_nothing_to_draw() -> None:
    for draw in (charts.throughput, charts.backlog, charts.age):
        chart = draw([], HOUR)
        assert (chart.bars, chart.summary) == ([], "no samples yet")
    assert charts.throughput([sample(0)], HOUR).summary == "too early"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0123, "12 ms"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_and_moments() -> None:
    assert number(1_234_567) == "1,234,567"
    assert moment(None) == "\N{EN DASH}"

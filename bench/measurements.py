"""What was measured, its medians and its spread."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.load import Sample

# What is counted beside the measurements.
TABLE_BYTES = "bytes a processed order takes in the table and its indexes"
LOG_BYTES = "bytes a processed order takes in the binary log"
DEADLOCKS = "deadlocks in MySQL while processing"
DEADLOCK_ERRORS = "deadlock errors in the processors' logs"
TASKS = "orders or tasks queued for each measurement of processing"
# Processing while so many orders wait for a later attempt.
BESIDE_WAITING, WAITING = "processing beside waiting orders", 100_000
# What is measured of several hosts.
ONE_HOST, GROWN = "one host", "two web hosts and a worker"
COST = "microseconds of processor time that an order takes in {}"
POSTED = "orders posted until memory was looked at last; the others were found queued"


class Case(NamedTuple):
    """What one measurement is of; numbers that play no part are 0."""

    kind: str
    peer: str
    connections: int = 0
    stored: int = 0
    processes: int = 0

    def __str__(self) -> str:
        parts = [self.kind, self.peer]
        parts += [f"{self.connections} connections"] if self.connections else []
        parts += [f"{self.stored} stored"] if self.stored else []
        parts += [f"{self.processes} processes"] if self.processes else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Figure:
    """A median with the smallest and the largest of its samples."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """Sum up one value or more."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))


@dataclass
class Results:
    """All measurements of a run.

    Attributes:
        memory: resident MiB after so many orders.
        counts: what was counted beside, by its description.
        profiles: shares of the time by package, of a kind of request and a server.
    """

    samples: dict[Case, list[Sample]] = field(default_factory=dict)
    memory: dict[int, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    profiles: dict[str, list[tuple[str, float]]] = field(default_factory=dict)

    def add(self, case: Case, sample: Sample) -> None:
        """Keep one measurement."""
        self.samples.setdefault(case, []).append(sample)

    def figure(self, case: Case, name: str) -> Figure:
        """Sum up the rounds of a measurement: its `rate`, `p50`, `p90` or `p99`."""
        return Figure.of(getattr(sample, name) for sample in self.samples[case])

    def ratio(self, above: Case, below: Case, name: str) -> Figure:
        """Return the ratio of the medians; its spread is that of the ratios of each round."""
        pairs = zip(self.samples[above], self.samples[below], strict=True)
        by_round = [divide(getattr(a, name), getattr(b, name)) for a, b in pairs]
        medians = (self.figure(above, name).median, self.figure(below, name).median)
        return Figure(divide(*medians), min(by_round), max(by_round))

    def problems(self) -> list[str]:
        """Return what makes the run void: answers that were wrong or missing."""
        return [
            f"{case}: {sample.problem}"
            for case, samples in self.samples.items()
            for sample in samples
            if sample.errors
        ]


def divide(above: float, below: float) -> float:
    """Divide; by nothing is infinity."""
    return above / below if below else float("inf")


Measure = Callable[[], Sample]


def interleave(results: Results, measures: Sequence[tuple[Case, Measure]], rounds: int) -> None:
    """Measure each case once a round, each round beginning with another one, every second round
    backwards.

    So a machine that is busy for a while is busy for all of them, and what one leaves to be done
    (writes of MySQL, say) is not always left to the same one.
    """
    for number in range(rounds):
        start = number % len(measures)
        turn = [*measures[start:], *measures[:start]]
        for case, measure in reversed(turn) if number % 2 else turn:
            sample = measure()
            results.add(case, sample)
            print(f"  {number + 1}/{rounds} {case}: {describe(sample)}", flush=True)


def describe(sample: Sample) -> str:
    """Return one measurement as a line for who waits."""
    latency = f", p99 {sample.p99:.1f} ms" if sample.p99 else ""
    return f"{sample.rate:.0f}/s{latency}{' - ' + sample.problem if sample.problem else ''}"

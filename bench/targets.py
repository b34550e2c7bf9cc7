"""What the service is to reach: ratios of what one run has measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.measurements import (
    BESIDE_WAITING,
    DEADLOCK_ERRORS,
    GROWN,
    ONE_HOST,
    WAITING,
    Case,
    Figure,
    Results,
    divide,
)
from bench.options import REQUEST_NAMES, STORED, TARGET_CONNECTIONS

OTHER_CONNECTIONS = (8, 128)
UNITS = {"rate": "/s", "p99": " ms"}


@dataclass(frozen=True)
class Verdict:
    """A line of the report: the ratio, its spread over the rounds (if it was measured more than
    once), and what it is made of."""

    what: str
    ratio: Figure
    target: float
    at_most: bool
    medians: str
    repeated: bool = True

    @property
    def reached(self) -> bool:
        """Whether the target is reached."""
        if self.at_most:
            return self.ratio.median <= self.target
        return self.ratio.median >= self.target


@dataclass(frozen=True)
class Target:
    """One ratio of two cases that is to be reached."""

    what: str
    above: Case
    below: Case
    figure: str
    limit: float
    at_most: bool = False

    def judge(self, results: Results) -> Verdict | None:
        """Return the verdict, or None when one of the two was not measured."""
        if not {self.above, self.below} <= set(results.samples):
            return None
        unit = UNITS[self.figure]
        medians = " to ".join(
            f"{results.figure(case, self.figure).median:,.{0 if unit == '/s' else 1}f}{unit}"
            for case in (self.above, self.below)
        )
        ratio = results.ratio(self.above, self.below, self.figure)
        return Verdict(self.what, ratio, self.limit, self.at_most, medians)


def _post(peer: str, connections: int = TARGET_CONNECTIONS) -> Case:
    return Case("post", peer, connections)


def _get(peer: str) -> Case:
    return Case("get", peer, TARGET_CONNECTIONS, STORED)


def _processing(peer: str, processes: int) -> Case:
    return Case("processing", peer, processes=processes)


TARGETS = (
    Target("POST to FastAPI", _post("service"), _post("fastapi"), "rate", 1.0),
    Target("POST's p99 to FastAPI's", _post("service"), _post("fastapi"), "p99", 0.8, at_most=True),
    Target("GET one to FastAPI", _get("service"), _get("fastapi"), "rate", 0.8),
    *(
        Target(
            f"POST to FastAPI, {connections} connections",
            _post("service", connections),
            _post("fastapi", connections),
            "rate",
            0.8,
        )
        for connections in OTHER_CONNECTIONS
    ),
    Target(
        "processed to Celery, 1 process each",
        _processing("service", 1),
        _processing("celery", 1),
        "rate",
        3.0,
    ),
    Target(
        "processed by 4 processes to by 1",
        _processing("service", 4),
        _processing("service", 1),
        "rate",
        1.0,
    ),
    Target(
        f"time of processing with {WAITING:,} orders waiting to none",
        _processing("service", 1),
        Case(BESIDE_WAITING, "service", stored=WAITING, processes=1),
        "rate",
        1.2,
        at_most=True,
    ),
    Target(
        "from end to end by two web hosts and a worker to by one host",
        Case(GROWN, "service"),
        Case(ONE_HOST, "service"),
        "rate",
        2.0,
    ),
)


def judge(results: Results, sizes: tuple[int, ...]) -> Iterator[Verdict]:
    """Yield the verdicts on all that was measured."""
    for target in TARGETS:
        if (verdict := target.judge(results)) is not None:
            yield verdict
    if (errors := results.counts.get(DEADLOCK_ERRORS)) is not None:
        yield _once(DEADLOCK_ERRORS, errors, limit=0)
    yield from _growth(results, min(sizes), max(sizes))
    yield from _memory(results)


def _growth(results: Results, few: int, many: int) -> Iterator[Verdict]:
    for kind, name in REQUEST_NAMES.items():
        # Time is the inverse of throughput, so the many are below.
        above, below = (
            Case(f"growth {kind}", "service", TARGET_CONNECTIONS, stored) for stored in (few, many)
        )
        what = f"{name}: time with {many:,} stored to {few:,}"
        verdict = Target(what, above, below, "rate", 1.2, at_most=True).judge(results)
        if verdict is not None:
            yield verdict


def _memory(results: Results) -> Iterator[Verdict]:
    if not results.memory:
        return
    few, many = min(results.memory), max(results.memory)
    ratio = divide(results.memory[many], results.memory[few])
    medians = f"{results.memory[many]:.1f} MiB to {results.memory[few]:.1f} MiB"
    yield _once(f"resident memory after {many:,} orders to {few:,}", ratio, 1.1, medians)


def _once(what: str, value: float, limit: float, medians: str = "") -> Verdict:
    """Return the verdict on what is measured once, and has no spread."""
    return Verdict(what, Figure.of([value]), limit, at_most=True, medians=medians, repeated=False)

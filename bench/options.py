"""What a run measures and how long."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.service_process import REPOSITORY

REQUEST_NAMES = {"post": "POST", "get": "GET one", "list": "list", "metrics": "metrics"}
SCENARIOS = (*REQUEST_NAMES, "growth", "processing", "hosts", "memory")
# What the targets are about, whatever else is measured.
TARGET_CONNECTIONS = 32
# How many orders there are to be read, where growth is not the question.
STORED = 1_000


@dataclass(frozen=True)
class Options:
    """The plan of one run.

    Attributes:
        only: which of `SCENARIOS` to run.
        connections: how many at once, one measurement each.
        rounds: how often each measurement is repeated, in turn with the others.
        seconds: how long one measurement of requests takes; wrk counts in whole ones.
        sizes: numbers of stored orders that `growth` compares, smallest first.
        tasks: how many orders or tasks are queued for `processing`.
        processing_rounds: how often those are burned down.
        memory: after how many orders the memory is compared.
        memory_posted: how many of these are posted at most; the others are found queued.
        profile: record where the time goes, after the measurements.
        output: the folder for results.json, results.md and chart.svg.
    """

    only: frozenset[str] = frozenset(SCENARIOS)
    connections: tuple[int, ...] = (1, 8, 32, 128)
    rounds: int = 5
    seconds: int = 3
    sizes: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    tasks: int = 100_000
    processing_rounds: int = 3
    memory: tuple[int, ...] = (10_000, 1_000_000)
    memory_posted: int = 200_000
    profile: bool = False
    output: Path = REPOSITORY / ".bench"


QUICK = Options(
    only=frozenset(SCENARIOS) - {"list", "metrics", "hosts"},
    connections=(32,),
    rounds=3,
    seconds=1,
    sizes=(1_000, 100_000),
    tasks=5_000,
    processing_rounds=1,
    memory=(1_000, 6_000),
    memory_posted=2_000,
)


def parse(arguments: list[str]) -> Options:
    """Read the command line; ends the program with a message when it is wrong."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="everything small: under 3 minutes")
    parser.add_argument(
        "--only", type=_scenarios, help=f"a comma-separated choice of {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--connections", type=_numbers, help="for example 1,32")
    parser.add_argument("--rounds", type=_positive)
    parser.add_argument("--seconds", type=_positive, help="of one measurement")
    parser.add_argument("--tasks", type=_positive, help="how many processing burns down")
    parser.add_argument("--processing-rounds", type=_positive, help="how often it does")
    parser.add_argument("--orders", type=_orders, dest="memory", help="for example 10000,1000000")
    parser.add_argument("--profile", action="store_true", help="record profiles with py-spy, too")
    parser.add_argument("--output", type=Path, help="the folder of the results (.bench)")
    given = vars(parser.parse_args(arguments))
    plan = QUICK if given.pop("quick") else Options()
    return replace(plan, **{name: value for name, value in given.items() if value})


def _scenarios(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := names - set(SCENARIOS):
        raise argparse.ArgumentTypeError(
            f"{', '.join(sorted(unknown))}: expected some of {', '.join(SCENARIOS)}"
        )
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_positive(number) for number in text.split(","))


def _orders(text: str) -> tuple[int, ...]:
    numbers = _numbers(text)
    if len(numbers) != 2 or numbers[0] >= numbers[1]:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text!r}: expected a small and a large number")
    return numbers


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 on")
    return int(text)

"""The bench's arithmetic, and what it reads from the programs that measure."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.load import LoadError, Sample, parse
from bench.measurements import DEADLOCK_ERRORS, Case, Figure, Results, interleave
from bench.mysqlslap import parse_seconds
from bench.options import QUICK
from bench.options import parse as parse_options
from bench.profile import leading
from bench.report import HEADINGS, Circumstances, table, write_report
from bench.scenarios.memory import resident_mebibytes
from bench.targets import judge
from tests.support.service_process import REPOSITORY

WRK = """Running 3s test @ http://127.0.0.1:5000
  1 threads and 32 connections
Requests/sec:   1500.00
BENCH {"requests":4500,"microseconds":3000000,"p50":20000,"p90":40000,"p99":61500,"longest":90000,\
"wrong":%d,"wrong_status":%d,"lost":%d,"next_id":2000004532}
"""
SLAP = """Benchmark
\tAverage number of seconds to run all queries: 3.125 seconds
\tMinimum number of seconds to run all queries: 3.125 seconds
\tNumber of clients running queries: 32
"""
OURS, PEER = Case("post", "service", 32), Case("post", "fastapi", 32)


def results_of(rates: dict[Case, list[float]]) -> Results:
    samples = {case: [Sample(rate, p99=10.0) for rate in many] for case, many in rates.items()}
    return Results(samples=samples)


def report_of(results: Results, folder: Path, load: float = 0.0) -> str:
    machine: dict[str, str | float] = {"processor": "x", "kernel": "6"}
    machine |= {"cores": 2, "memory_gib": 4, "load_before": load}
    run = Circumstances(machine, {"commit": "abc"}, minutes=3)
    return write_report(results, replace(QUICK, output=folder), run)


def test_what_wrk_says() -> None:
    sample, next_id = parse(WRK % (0, 0, 0))
    assert sample.rate == 1500
    assert (sample.p50, sample.p90, sample.p99, sample.longest) == (20, 40, 61.5, 90)
    assert (sample.requests, sample.errors, sample.problem) == (4500, 0, "")
    assert next_id == 2_000_004_532


def test_wrong_and_missing_answers_are_counted() -> None:
    sample, _ = parse(WRK % (3, 503, 2))
    assert sample.errors == 5
    assert "503" in sample.problem
    assert "2 requests without an answer" in sample.problem


def test_a_server_that_answers_nothing_is_an_error() -> None:
    silent = (WRK % (0, 0, 0)).replace('"requests":4500', '"requests":0')
    sample, _ = parse(silent)
    assert sample.errors == 1
    assert sample.problem == "no answer at all"


def test_what_mysqlslap_says() -> None:
    assert parse_seconds(SLAP) == 3.125


@pytest.mark.parametrize("output", ["", "queries: 0.000 seconds", SLAP.replace("3.125", "0.000")])
def test_mysqlslap_without_a_time(output: str) -> None:
    with pytest.raises(LoadError):
        parse_seconds(output)


def test_median_and_spread() -> None:
    assert Figure.of([3, 1, 10]) == Figure(median=3, lowest=1, highest=10)
    assert Figure.of([1, 2]) == Figure(median=1.5, lowest=1, highest=2)


def test_a_ratio_is_of_medians_and_spreads_over_rounds() -> None:
    results = results_of({OURS: [100, 300, 200], PEER: [100, 100, 400]})
    assert results.ratio(OURS, PEER, "rate") == Figure(median=2, lowest=0.5, highest=3)


def test_ratios_need_the_same_rounds() -> None:
    with pytest.raises(ValueError, match="zip"):
        results_of({OURS: [1, 2], PEER: [1]}).ratio(OURS, PEER, "rate")


@pytest.mark.parametrize(("ours", "reached"), [(100, True), (99, False)])
def test_at_least(ours: float, reached: bool) -> None:
    (rate, p99) = judge(results_of({OURS: [ours], PEER: [100]}), (1000,))
    assert rate.target == 1.0
    assert rate.reached is reached
    assert p99.ratio.median == 1
    assert not p99.reached


@pytest.mark.parametrize(("many", "reached"), [(100, True), (99, False)])
def test_growth_is_in_time_and_at_most(many: float, reached: bool) -> None:
    few, large = (Case("growth list", "service", 32, stored) for stored in (1_000, 1_000_000))
    (verdict,) = judge(results_of({few: [120], large: [many]}), (1_000, 100_000, 1_000_000))
    assert verdict.ratio.median == 120 / many
    assert verdict.reached is reached


def test_memory_and_deadlocks() -> None:
    results = Results(memory={1_000_000: 111.0, 10_000: 100.0}, counts={DEADLOCK_ERRORS: 1})
    deadlocks, memory = judge(results, (1000,))
    assert not deadlocks.reached
    assert memory.ratio.median == 1.11
    assert not memory.reached


def test_nothing_measured_is_nothing_judged() -> None:
    assert not list(judge(Results(), (1000,)))


def test_errors_make_a_run_void() -> None:
    results = results_of({OURS: [1]})
    assert not results.problems()
    results.add(OURS, Sample(1, errors=2, problem="2 answers of status 500 or the like"))
    assert results.problems() == [
        "post, service, 32 connections: 2 answers of status 500 or the like"
    ]


def test_measurements_take_turns() -> None:
    turns: list[str] = []

    def measure(name: str) -> Sample:
        turns.append(name)
        return Sample(1)

    cases = [(Case("post", name), lambda name=name: measure(name)) for name in "abc"]
    interleave(Results(), cases, 3)
    assert "".join(turns) == "abcacbcab"


def test_what_leads_a_profile() -> None:
    stacks = "main (a/b.py:1);insert (c/d.py:7) 6\nmain (a/b.py:2);insert (c/d.py:9) 2\n"
    stacks += "main (a/b.py:1);run (a/e.py:4) 1\nmain (a/b.py:1);new (<a made go() for x>:3) 1\n"
    torn = "main (x.py:1);run (a/e.py:47);\n 5\n"
    packages, functions = leading(stacks + torn)
    assert packages == [("c", 0.8), ("a", 0.1), ("generated code", 0.1)]
    assert functions[:2] == [("insert (c/d.py)", 0.8), ("run (a/e.py)", 0.1)]


def test_resident_memory() -> None:
    assert resident_mebibytes("Name:\tgunicorn\nVmRSS:\t   97280 kB\nThreads:\t28\n") == 95


@pytest.mark.parametrize(("load", "said"), [(0.9, False), (9.1, True)])
def test_a_busy_machine_is_said(tmp_path: Path, load: float, said: bool) -> None:
    text = report_of(Results(), tmp_path, load)
    assert ("busy" in text) is said
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["machine"]["load_before"] == load
    assert "output" not in written["settings"]


@pytest.mark.parametrize("errors", [0, 1])
def test_a_void_run_is_said_before_anything_else(tmp_path: Path, errors: int) -> None:
    results = results_of({OURS: [1], PEER: [1]})
    results.add(OURS, Sample(1, errors=errors, problem="no answer at all"))
    results.add(PEER, Sample(1))
    text = report_of(results, tmp_path)
    assert text.startswith("**This run is void") is bool(errors)
    assert ("no answer at all" in text) is bool(errors)


def test_each_server_has_a_column(tmp_path: Path) -> None:
    cases = {Case("post", name, 32): [1000.0 + n] for n, name in enumerate(HEADINGS)}
    lines = report_of(results_of(cases), tmp_path).splitlines()
    (figures,) = [line for line in lines if line.startswith("| POST  ") and "| 32 " in line]
    cells = [cell.strip() for cell in figures.strip("|").split("|")][2:]
    assert cells == [f"1,00{n} (10.0)" for n in range(len(HEADINGS))]


def test_what_was_measured_once_has_no_spread(tmp_path: Path) -> None:
    results = results_of({OURS: [2, 2], PEER: [1, 1]})
    results.memory = {1_000: 100.0, 6_000: 100.0}
    text = report_of(results, tmp_path)
    assert "| 2.00     | 2.00 to 2.00 |" in text
    assert "| 1.00     |              |" in text


def test_a_table_is_aligned() -> None:
    lines = list(table(["what", "a"], [["POST to naive", "7.25"]]))
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ------------- | ---- |"


def test_the_options_of_a_part() -> None:
    options = parse_options(["--quick", "--only", "post,get", "--connections", "1,32"])
    assert options.only == {"post", "get"}
    assert options.connections == (1, 32)
    assert options.rounds == QUICK.rounds


@pytest.mark.parametrize("arguments", [["--only", "put"], ["--rounds", "0"], ["--seconds", "x"]])
def test_options_that_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert "expected" in capsys.readouterr().err


def test_the_bench_has_no_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; import bench.scenarios.serving"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, timeout=60)

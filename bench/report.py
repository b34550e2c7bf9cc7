"""The report: tables in Markdown, which read well in a terminal too, and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.measurements import Case, Results
from bench.options import REQUEST_NAMES, Options
from bench.targets import Verdict, judge

SHOWN_PACKAGES = 8
HEADINGS = {
    "service": "this service",
    "working": "… its processor at work",
    "nginx": "… through nginx and TLS",
    "granian": "… on Granian",
    "fastapi": "FastAPI",
    "naive": "naive",
    "mysqlslap": "mysqlslap",
}


@dataclass(frozen=True)
class Circumstances:
    """What a run was made on, with and in how many minutes."""

    machine: Mapping[str, str | float]
    versions: Mapping[str, str]
    minutes: float


def write_report(results: Results, options: Options, circumstances: Circumstances) -> str:
    """Write results.json and results.md, and return the tables."""
    verdicts = list(judge(results, options.sizes))
    circumstance = _circumstances(circumstances, options)
    text = "\n".join([*_void(results), *_tables(results, verdicts), *circumstance])
    options.output.mkdir(parents=True, exist_ok=True)
    settings = asdict(options) | {"only": sorted(options.only)}
    del settings["output"]
    document = asdict(circumstances) | {"settings": settings} | _document(results, verdicts)
    (options.output / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    (options.output / "results.md").write_text(text + "\n")
    return text


def _void(results: Results) -> Iterator[str]:
    if problems := results.problems():
        yield f"**This run is void: {'; '.join(problems)}**\n"


def _circumstances(run: Circumstances, options: Options) -> Iterator[str]:
    machine = run.machine
    if float(machine["load_before"]) > float(machine["cores"]) / 2:
        yield (
            f"**The machine was busy with other work: its load was {machine['load_before']} before"
            " the run, so the figures are low and the ratios rough.**\n"
        )
    yield (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB,"
        f" Linux {machine['kernel']}. {options.rounds} rounds of {options.seconds} s of requests,"
        f" {options.processing_rounds} of processing; {run.minutes:.0f} minutes in all."
    )
    yield ", ".join(f"{name} {version}" for name, version in run.versions.items()) + "."


def _tables(results: Results, verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield from table(["ratio", "measured", "spread", "target", "medians", ""], _lines(verdicts))
    yield ""
    if requests := list(_requests(results)):
        heading = ["a second (p99 in ms)", "connections", *HEADINGS.values()]
        yield from table(heading, requests)
        yield ""
    if others := list(_others(results)):
        yield from table(["", "a second", "lowest", "highest"], others)
        yield ""
    yield from (f"- {name}: {number:,}" for name, number in results.counts.items())
    for what, shares in results.profiles.items():
        leading = ", ".join(f"{package} {share:.0%}" for package, share in shares[:SHOWN_PACKAGES])
        yield f"- where the time of {what} goes: {leading}"
    yield ""


def _lines(verdicts: Sequence[Verdict]) -> Iterator[list[str]]:
    for verdict in verdicts:
        ratio = verdict.ratio
        yield [
            verdict.what,
            f"{ratio.median:.2f}",
            f"{ratio.lowest:.2f} to {ratio.highest:.2f}" if verdict.repeated else "",
            f"{'at most' if verdict.at_most else 'at least'} {verdict.target:g}",
            verdict.medians,
            "reached" if verdict.reached else "**falls short**",
        ]


def _requests(results: Results) -> Iterator[list[str]]:
    numbers = sorted({case.connections for case in results.samples})
    for kind, name in REQUEST_NAMES.items():
        for connections in numbers:
            cells = [_cell(results, kind, peer, connections) for peer in HEADINGS]
            if any(cells):
                yield [name, str(connections), *cells]


def _cell(results: Results, kind: str, peer: str, connections: int) -> str:
    for case in results.samples:
        if case[:3] == (kind, peer, connections):
            p99 = results.figure(case, "p99").median
            latency = f" ({p99:,.1f})" if p99 else ""
            return f"{results.figure(case, 'rate').median:,.0f}{latency}"
    return ""


def _others(results: Results) -> Iterator[list[str]]:
    for case in results.samples:
        if case.kind not in REQUEST_NAMES:
            rate = results.figure(case, "rate")
            yield [str(case), *(f"{n:,.0f}" for n in (rate.median, rate.lowest, rate.highest))]


def table(heading: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table whose columns are aligned."""
    lines = [list(heading), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(heading))]
    lines.insert(1, ["-" * max(3, width) for width in widths])
    for line in lines:
        cells = (cell.ljust(max(3, width)) for cell, width in zip(line, widths, strict=True))
        yield f"| {' | '.join(cells)} |"


def _document(results: Results, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "ratios": [asdict(verdict) | {"reached": verdict.reached} for verdict in verdicts],
        "measurements": [_measurement(results, case) for case in results.samples],
        "resident_mebibytes": {str(n): round(m, 1) for n, m in results.memory.items()},
        "counts": results.counts,
        "profiles": results.profiles,
        "problems": results.problems(),
    }


def _measurement(results: Results, case: Case) -> dict[str, Any]:
    samples = results.samples[case]
    return {
        **{name: value for name, value in case._asdict().items() if value},
        "median_rate": round(results.figure(case, "rate").median, 1),
        "rates": [round(sample.rate, 1) for sample in samples],
        **(
            {
                "p50_milliseconds": [sample.p50 for sample in samples],
                "p99_milliseconds": [sample.p99 for sample in samples],
            }
            if any(sample.p99 for sample in samples)
            else {}
        ),
        "errors": sum(sample.errors for sample in samples),
    }

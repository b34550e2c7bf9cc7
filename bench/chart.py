"""The chart of a run, in colours that can be read on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

from bench.measurements import Case, Results
from bench.options import REQUEST_NAMES, TARGET_CONNECTIONS

# Each is far enough from white and from black.
TEXT = "#768390"
OURS, PEER, LIMIT = "#3b82f6", "#a8763e", "#8b8b8b"
COLOURS = {"service": OURS, "working": "#6aa0f8", "nginx": "#6aa0f8", "mysqlslap": LIMIT}
NAMES = {
    "service": "this service",
    "working": "… its processor at work",
    "nginx": "… through nginx, TLS",
    "granian": "… on Granian",
    "fastapi": "FastAPI",
    "naive": "naive",
    "mysqlslap": "bare MySQL (mysqlslap)",
}
# The text stays text, and the same run gives the same file.
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "order-service",
    "font.family": ["sans-serif"],
    "font.size": 11,
    "text.color": TEXT,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}

Bars = list[tuple[str, float, str]]


def draw(results: Results, sizes: Sequence[int], path: Path) -> None:
    """Draw what was measured; a panel without measurements is left out."""
    panels = [
        ("POST /orders, a second", _requests(results, "post")),
        ("POST /orders, p99 in ms: less is better", _requests(results, "post", "p99")),
        ("GET /orders/<id>, a second", _requests(results, "get")),
        ("Orders or tasks processed, a second", _processing(results)),
        (f"Time with {max(sizes):,} orders to {min(sizes):,}", _growth(results, sizes)),
        ("Resident MiB after so many orders", _memory(results)),
    ]
    panels = [panel for panel in panels if panel[1]]
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        rows = max(1, (len(panels) + 1) // 2)
        figure, axes = plt.subplots(rows, 2, figsize=(10, 2.3 * rows), squeeze=False)
        for axis, panel in zip(axes.flat, panels, strict=False):
            _panel(axis, *panel)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        figure.tight_layout(h_pad=2.0)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _panel(axis: Any, title: str, bars: Bars) -> None:
    names, values, colours = zip(*reversed(bars), strict=True)
    drawn = axis.barh(range(len(bars)), values, color=colours, height=0.7)
    labels = [f"{value:,.0f}" if value >= 20 else f"{value:.2f}" for value in values]  # noqa: PLR2004
    axis.bar_label(drawn, labels, padding=4, color=TEXT)
    axis.set_yticks(range(len(bars)), names)
    axis.set_xticks([])
    axis.margins(x=0.18)
    axis.spines["bottom"].set_visible(False)
    axis.set_title(title, x=-0.42, fontweight="bold")


def _requests(results: Results, kind: str, figure: str = "rate") -> Bars:
    return [
        (NAMES[peer], value, COLOURS.get(peer, PEER))
        for peer in NAMES
        for case in results.samples
        if case[:3] == (kind, peer, TARGET_CONNECTIONS)
        if (value := results.figure(case, figure).median)
    ]


def _processing(results: Results) -> Bars:
    names = {"service": "this service", "celery": "Celery on Redis"}
    cases = sorted(
        (case for case in results.samples if case.kind == "processing"),
        key=lambda case: (case.processes, case.peer != "service"),
    )
    return [
        (
            f"{names[case.peer]}, {case.processes} process{'es' if case.processes > 1 else ''}",
            results.figure(case, "rate").median,
            COLOURS.get(case.peer, PEER),
        )
        for case in cases
    ]


def _growth(results: Results, sizes: Sequence[int]) -> Bars:
    bars = []
    for kind, name in REQUEST_NAMES.items():
        few, many = (
            Case(f"growth {kind}", "service", TARGET_CONNECTIONS, n)
            for n in (min(sizes), max(sizes))
        )
        if {few, many} <= set(results.samples):
            bars.append((name, results.ratio(few, many, "rate").median, OURS))
    return bars


def _memory(results: Results) -> Bars:
    return [
        (f"{orders:,}", mebibytes, OURS) for orders, mebibytes in sorted(results.memory.items())
    ]

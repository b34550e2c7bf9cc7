"""What is taken for a `traceparent`, and what is said of it in the log."""

from __future__ import annotations

import pytest

from service.telemetry import tracing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = [f"00-{TRACE}-{SPAN}-{flags}" for flags in ("00", "01", "03", "ff")]
BAD = [
    "",
    "00",
    f"00-{TRACE}-{SPAN}",
    f"00-{TRACE}-{SPAN}-",
    f"00-{TRACE}-{SPAN}-1",
    f"00-{TRACE}-{SPAN}-0g",
    f"00-{TRACE}-{SPAN}-01-",
    f"00-{TRACE}-{SPAN}-01-more",
    f"00-{TRACE}-{SPAN}-01\n",
    f" 00-{TRACE}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE}-{SPAN.upper()}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE[1:]}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}0-01",
    f"00-{TRACE[:-1]}٤-{SPAN}-01",
    f"00_{TRACE}_{SPAN}_01",
    *[f"{version}-{TRACE}-{SPAN}-01" for version in ("01", "cc", "ff", "0", "000", "0x")],
]


@pytest.mark.parametrize("given", GOOD)
def test_it_is_taken_as_it_is(given: str) -> None:
    assert tracing.accept(given) == given


@pytest.mark.parametrize("given", BAD)
def test_it_is_not_taken(given: str) -> None:
    assert tracing.accept(given) is None


def test_a_line_of_the_log_names_the_trace_and_not_the_span() -> None:
    assert tracing.log_context(GOOD[0]) == {"trace_id": TRACE}
    assert tracing.log_context(None) == {}


def test_a_trace_is_at_hand_until_its_work_ends() -> None:
    with tracing.within(GOOD[0]):
        assert tracing.current.get() == GOOD[0]
    assert tracing.current.get() is None


def test_without_spans_a_call_sends_the_trace_as_it_is() -> None:
    for given in (GOOD[1], None):
        with tracing.calling("POST", given) as call:
            assert call.traceparent == given

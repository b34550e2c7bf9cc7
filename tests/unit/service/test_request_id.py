"""The caller's request id is kept if it is sane."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.telemetry import request_id


@pytest.mark.parametrize(
    "sane",
    [
        "a-b_c.d:e/f+g=h@i",
        "x" * 128,
        "Root=1-67891233-abcdef012345678912345678",
    ],
)
def test_a_sane_id_is_kept(sane: str) -> None:
    assert request_id.choose(sane) == sane


@pytest.mark.parametrize(
    "insane",
    [
        "",
        "a b",
        "x" * 129,
        "a\n",
        "\na",
        "é",
        "\u0661",
        "a\x00",
        '"a"',
        "<b>",
    ],
)
def test_an_insane_id_is_replaced(insane: str) -> None:
    chosen = request_id.choose(insane)
    assert chosen != insane
    assert re.fullmatch(r"[0-9a-f]{32}", chosen)


@given(st.text())
def test_what_is_chosen_is_safe_in_a_header_and_in_a_log(text: str) -> None:
    chosen = request_id.choose(text)
    assert 1 <= len(chosen) <= 128
    assert chosen.isascii()
    assert chosen.isprintable()
    assert not set(chosen) & set(" \"'<>{}\\,;")


def test_new_ids_differ() -> None:
    assert len({request_id.choose(None) for _ in range(100)}) == 100

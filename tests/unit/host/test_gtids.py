"""Sets of GTIDs, as MySQL reckons with them."""

from __future__ import annotations

import pytest
from order_service.backup.gtids import Gtids

A, B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "5d1f0c0e-0000-4000-8000-00000000a001"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", ""),
        (f"{A}:1-5", f"{A}:1-5"),
        (f"{A}:7:1-5:6", f"{A}:1-7"),
        (f"{A.upper()}:3", f"{A}:3"),
        # As the client shows it, and as it comes with tags.
        (f"{A}:1-5,\\n{B}:1", f"{A}:1-5,{B}:1"),
        (f"{A}:1-2:nightly:4-5:8", f"{A}:1-2,{A}:nightly:4-5:8"),
    ],
)
def test_a_set_is_read_as_it_is_written(text: str, written: str) -> None:
    assert str(Gtids.parse(text)) == written


@pytest.mark.parametrize(
    ("one", "other", "left"),
    [
        ("1-10", "4-6", f"{A}:1-3:7-10"),
        ("1-10", "1-10", ""),
        ("1-10", "1-20", ""),
        ("5-10", "1-6:9", f"{A}:7-8:10"),
        ("1-3:7-9", "2-8", f"{A}:1:9"),
    ],
)
def test_what_another_set_lacks_is_what_is_left(one: str, other: str, left: str) -> None:
    mine, others = Gtids.parse(f"{A}:{one}"), Gtids.parse(f"{A}:{other},{B}:1-99")
    assert str(mine - others) == left
    assert (mine <= others) == (left == "")
    assert mine <= mine | others
    assert others <= mine | others


def test_a_tag_makes_it_another_number() -> None:
    assert not Gtids.parse(f"{A}:nightly:1") <= Gtids.parse(f"{A}:1")
    assert Gtids.parse(f"{A}:nightly:1,{B}:2").sources == {A, B}

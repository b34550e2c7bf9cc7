"""JSON in which an amount stays a decimal, and strict JSON only."""

from __future__ import annotations

from decimal import Decimal

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from service.web.json_provider import DecimalJSONProvider

provider = DecimalJSONProvider(Flask("test"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", "0.1"),
        ("1e2", "100"),
        ("-0.0", "0"),
        (
            "0.1000000000000000000000000000000000000001",
            "0.1000000000000000000000000000000000000001",
        ),
        ("1e400", "1e400"),
    ],
)
def test_reads_fractions_and_exponents_as_decimals(text: str, value: str) -> None:
    found = provider.loads(f'{{"a": [{text}]}}')["a"][0]
    assert type(found) is Decimal
    assert found == Decimal(value)


@pytest.mark.parametrize("number", [0, -1, 2**64, 10**40])
def test_reads_integers_as_integers(number: int) -> None:
    found = provider.loads(str(number))
    assert (type(found), found) == (int, number)


def test_reads_bytes_as_utf_8() -> None:
    assert provider.loads('{"é": "€"}'.encode()) == {"é": "€"}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2))
def test_decimals_survive_both_ways(number: Decimal) -> None:
    text = provider.dumps({"amount": number})
    assert text.removeprefix('{"amount":').removesuffix("}") == str(number)
    assert provider.loads(text)["amount"] == number


def test_writes_compactly_and_in_ascii() -> None:
    assert provider.dumps({"a": [1, Decimal("1.50")], "b": "é"}) == '{"a":[1,1.50],"b":"\\u00e9"}'


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        '{"a": NaN}',
        '{"a": {"b": 1, "b": 2}}',
        '[{"a": 1, "\\u0061": 2}]',
        "[" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        "9" * 5000,
        "1e" + "9" * 30,
        "1e-" + "9" * 30,
        "",
        "{}{}",
        "[1,]",
        "{'a': 1}",
        '"\t"',
        '"\\x"',
        "01",
        "1.",
        ".1",
        "+1",
        "True",
    ],
    ids=lambda text: text[:20] or "nothing",
)
def test_refuses_what_is_not_json_or_beyond_reason(text: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(ValueError, match=r".+"):
            provider.loads(form)


@pytest.mark.parametrize(
    "data",
    [
        b'"\xff"',
        b'"\xc3"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        '"é"'.encode("latin-1"),
        b"\xff\xfe[\x00",
    ],
)
def test_refuses_what_is_not_utf_8(data: bytes) -> None:
    with pytest.raises(ValueError, match="utf-8"):
        provider.loads(data)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    try:
        value = provider.loads(data)
    except ValueError:
        return
    assert provider.loads(provider.dumps(value)) == value

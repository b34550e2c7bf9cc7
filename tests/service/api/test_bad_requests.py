"""A table of bad requests: each is refused in JSON, and nothing of it is stored."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from tests.support.answers import error_of
from tests.support.databases import order_body
from tests.support.inspection import Store

TOO_LARGE = 2**63

# Each is sent in the place of a valid order_id or user_id, as JSON text.
BAD_IDS = {
    "zero": "0",
    "negative": "-1",
    "minus zero": "-0",
    "too large": str(TOO_LARGE),
    "far too large": "9" * 60,
    "beyond Python's limit": "9" * 5000,
    "float": "1.0",
    "fraction": "1.5",
    "exponent": "1e3",
    "string": '"1"',
    "empty string": '""',
    "true": "true",
    "false": "false",
    "null": "null",
    "list": "[1]",
    "object": "{}",
}
BAD_ITEMS = {
    "empty": "[]",
    "null": "null",
    "object": "{}",
    "number": "1",
    "string": '"1,2,3"',
    "true": "true",
    "zero": "[0]",
    "negative": "[-1]",
    "late negative": "[1, 2, -3]",
    "too large": f"[{TOO_LARGE}]",
    "float": "[1.0]",
    "exponent": "[1e2]",
    "string in it": '["1"]',
    "boolean in it": "[true]",
    "null in it": "[1, null]",
    "list in it": "[[1]]",
    "object in it": "[{}]",
    "1,001 of them": json.dumps([1] * 1001),
    "20,000 of them": json.dumps([1] * 20_000),
}
BAD_AMOUNTS = {
    "negative": "-0.01",
    "negative integer": "-1",
    "three decimals": "0.001",
    "half a cent": "150.755",
    "late decimal": "1.0000000000000000000000000000000000001",
    "smallest too large": "10000000000",
    "a cent too large": "10000000000.00",
    "between": "9999999999.991",
    "rounds to the largest": "9999999999.994999",
    "large exponent": "1e400",
    "huge exponent": "1e999999999999999999999",
    "small exponent": "1e-3",
    "tiny exponent": "1e-400",
    "vanishing exponent": "1e-999999999999999999999",
    "beyond Python's limit": "9" * 5000,
    "string": '"150.75"',
    "empty string": '""',
    "true": "true",
    "null": "null",
    "list": "[1]",
    "object": "{}",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "NaN string": '"NaN"',
    "no digits after the point": "1.",
    "no digits before the point": ".5",
    "plus": "+1",
    "leading zero": "01",
    "hexadecimal": "0x10",
    "comma": "1,5",
    "underscore": "1_000",
}
BAD_BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \r\n",
    "half": b'{"order_id": 7',
    "trailing comma": b'{"order_id": 7,}',
    "two values": b"{} {}",
    "single quotes": b"{'order_id': 7}",
    "comment": b"{} // yes",
    "text": b"order",
    "form": b"order_id=7&user_id=1",
    "null": b"null",
    "true": b"true",
    "number": b"7",
    "NaN": b"NaN",
    "string": b'"order"',
    "list": b"[]",
    "list of an order": b'[{"order_id": 7, "user_id": 1, "item_ids": [1], "total_amount": 1}]',
    "empty object": b"{}",
    "byte order mark": b'\xef\xbb\xbf{"order_id": 7}',
    "UTF-16": '{"order_id": 7}'.encode("utf-16"),
    "Latin-1": b'{"\xe9": 7}',
    "cut UTF-8": b'{"\xc3": 7}',
    "overlong UTF-8": b'{"\xc0\xaf": 7}',
    "NUL": b'{"order_id": 7}\x00',
    "NUL before": b"\x00{}",
    "control in a string": b'{"a\nb": 7}',
    "surrogate in a name": b'{"\\ud800": 7}',
    "NUL in a name": b'{"\\u0000": 7}',
    "deep lists": b"[" * 200_000,
    "deep closed lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep in a field": b'{"order_id": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "twice the same name": b'{"order_id": 7, "order_id": 8, "user_id": 1, "item_ids": [1],'
    b' "total_amount": 1}',
    "twice the same value": b'{"order_id": 7, "order_id": 7, "user_id": 1, "item_ids": [1],'
    b' "total_amount": 1}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}
BAD_FIELDS = {
    "unknown field": {"note": "x"},
    "status": {"status": "Completed"},
    "id": {"id": 1},
    "created_at": {"created_at": "2020-01-01T00:00:00Z"},
    "empty name": {"": 1},
    "prototype": {"__proto__": {}},
    "schema": {"_schema": 1},
    "other case": {"Order_Id": 7},
    "name with a space": {"order_id ": 7},
    "long name": {"x" * 10_000: 1},
}
BAD_KEYS = {
    "empty": "",
    "256 characters": "x" * 256,
    "a megabyte": "x" * 1_000_000,
    "tab": "a\tb",
    "newline": "a\nb",
    "NUL": "a\x00b",
    "DEL": "a\x7fb",
    "escape": "a\x1bb",
    "Latin-1": "clé",
    "high byte": "\xff",
}
BAD_QUERIES = {
    "limit 0": "limit=0",
    "limit 101": "limit=101",
    "limit -1": "limit=-1",
    "limit +1": "limit=%2B1",
    "limit 1.0": "limit=1.0",
    "limit 1e1": "limit=1e1",
    "limit text": "limit=ten",
    "limit blank": "limit=%20",
    "limit padded": "limit=%205",
    "limit huge": "limit=" + "9" * 6000,
    "limit Arabic": "limit=%D9%A3",
    "limit NUL": "limit=1%00",
    "status unknown": "status=Done",
    "status other case": "status=pending",
    "status padded": "status=Pending%20",
    "status two": "status=Pending,Failed",
    "status invalid UTF-8": "status=%ff",
    "user_id 0": "user_id=0",
    "user_id negative": "user_id=-1",
    "user_id too large": f"user_id={TOO_LARGE}",
    "user_id text": "user_id=abc",
    "user_id float": "user_id=1.0",
    "user_id injection": "user_id=1%20OR%201=1",
    "after text": "after=abc",
    "after a number": "after=5",
    "after not ASCII": "after=%C3%A9",
    "after huge": "after=" + "QUFB" * 2000,
    "after zero": "after=MA==",
    "after negative": "after=LTE=",
    "after padded": "after=IDE=",
    "after without its padding": "after=Mw",
    "after with dirt": "after=M!w=3D=3D",
    "unknown parameter": "page=2",
    "offset": "offset=10",
    "other case": "Limit=5",
    "view of a list": "view=full",
}
BAD_VIEWS = {
    "unknown": "view=everything",
    "other case": "view=FULL",
    "padded": "view=full%20",
    "number": "view=1",
    "other parameter": "limit=5",
    "invalid UTF-8": "view=%ff",
}


def body_with(field: str, text: str) -> str:
    """Return a valid order's JSON with this text as one field's value."""
    values = {name: json.dumps(value) for name, value in order_body(7).items()} | {field: text}
    return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"


def assert_refused(client: FlaskClient, store: Store, body: str | bytes) -> object:
    answer = client.post("/orders", data=body, content_type="application/json")
    error = error_of(answer, 400)
    assert store.statuses() == {}
    return error


@pytest.mark.parametrize("field", ["order_id", "user_id"])
@pytest.mark.parametrize("text", BAD_IDS.values(), ids=BAD_IDS)
def test_bad_ids(client: FlaskClient, store: Store, field: str, text: str) -> None:
    error = assert_refused(client, store, body_with(field, text))
    # An integer beyond Python's limit of digits is refused with the body as a whole.
    assert isinstance(error, str) or list(error) == [field]  # type: ignore[call-overload]


@pytest.mark.parametrize("text", BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_bad_items(client: FlaskClient, store: Store, text: str) -> None:
    error = assert_refused(client, store, body_with("item_ids", text))
    assert isinstance(error, dict)
    assert list(error) == ["item_ids"]


@pytest.mark.parametrize("text", BAD_AMOUNTS.values(), ids=BAD_AMOUNTS)
def test_bad_amounts(client: FlaskClient, store: Store, text: str) -> None:
    error = assert_refused(client, store, body_with("total_amount", text))
    assert isinstance(error, str) or list(error) == ["total_amount"]  # type: ignore[call-overload]


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_bodies(client: FlaskClient, store: Store, body: bytes) -> None:
    assert_refused(client, store, body)


@pytest.mark.parametrize("fields", BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_unknown_fields(client: FlaskClient, store: Store, fields: dict[str, object]) -> None:
    error = assert_refused(client, store, json.dumps(order_body(7, **fields)))
    assert isinstance(error, dict)
    assert set(error) == set(fields)


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_bad_idempotency_keys(client: FlaskClient, store: Store, key: str) -> None:
    environment = {"HTTP_IDEMPOTENCY_KEY": key}
    answer = client.post("/orders", json=order_body(7), environ_overrides=environment)
    assert "Idempotency-Key" in error_of(answer, 400)
    assert store.statuses() == {}


@pytest.mark.parametrize("query", BAD_QUERIES.values(), ids=BAD_QUERIES)
def test_bad_list_queries(client: FlaskClient, query: str) -> None:
    error = error_of(client.get(f"/orders?{query}"), 400)
    assert list(error) == [query.partition("=")[0]]


@pytest.mark.parametrize("query", BAD_VIEWS.values(), ids=BAD_VIEWS)
def test_bad_views(client: FlaskClient, query: str) -> None:
    client.post("/orders", json=order_body(7))
    error = error_of(client.get(f"/orders/7?{query}"), 400)
    assert list(error) == [query.partition("=")[0]]

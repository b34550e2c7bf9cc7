"""Bad requests: each is refused in JSON, and nothing of it is stored.

The table has one request for each way to be wrong. The spellings of each are with the schemas and
the JSON provider, in the unit tests.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.answers import error_of, json_of
from tests.support.databases import ONLY_SQLITE, order_body
from tests.support.inspection import Store

pytestmark = ONLY_SQLITE

FIELDS = ["order_id", "user_id", "item_ids", "total_amount"]
# A field, and JSON that is not allowed in its place.
BAD_FIELDS = [
    ("order_id", "0"),
    ("order_id", "-0"),
    ("order_id", str(2**63)),
    ("order_id", "1.0"),
    ("order_id", "1e3"),
    ("order_id", "true"),
    ("order_id", '"1"'),
    ("order_id", "null"),
    ("user_id", "-1"),
    ("item_ids", "[]"),
    ("item_ids", json.dumps([1] * 1001)),
    ("item_ids", "[1, -2]"),
    ("item_ids", "{}"),
    ("total_amount", "-0.01"),
    ("total_amount", "0.001"),
    # As a float it would be a whole number of cents.
    ("total_amount", "150.7500000000000000000000000000001"),
    ("total_amount", "10000000000"),
    ("total_amount", "1e999"),
    ("total_amount", "1e-400"),
    ("total_amount", '"150.75"'),
    ("colour", '"red"'),
    ("status", '"Completed"'),
    ("", "1"),
    ("__proto__", "{}"),
    ("Order_Id", "1"),
]
BAD_BODIES = {
    "empty": b"",
    "half": b'{"order_id": 7',
    "two values": b"{} {}",
    "form": b"order_id=7&user_id=1",
    "null": b"null",
    "number": b"7",
    "string": b'"order"',
    "list of an order": json.dumps([order_body(7)]).encode(),
    "NaN": b'{"total_amount": NaN}',
    "beyond Python's limit": b'{"order_id": ' + b"9" * 5000 + b"}",
    "beyond Decimal's limit": b'{"total_amount": 1e999999999999999999999}',
    "UTF-16": "{}".encode("utf-16"),
    "Latin-1": b'{"\xe9": 7}',
    "NUL": b"{}\x00",
    "deep": b'{"order_id": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "twice the same name": b'{"order_id": 7, "order_id": 7}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}
BAD_KEYS = {
    "empty": "",
    "256 characters": "x" * 256,
    "tab": "a\tb",
    "newline": "a\nb",
    "NUL": "a\x00b",
    "DEL": "a\x7fb",
    "Latin-1": "clé",
}
BAD_QUERIES = [
    "limit=0",
    "limit=%D9%A3",
    "status=Done",
    "status=%ff",
    "user_id=0",
    "user_id=1%20OR%201=1",
    "after=abc",
    "after=%C3%A9",
    "page=2",
    "Limit=5",
]


def post(client: FlaskClient, body: str | bytes) -> object:
    """Return the error that the body is answered with."""
    return error_of(client.post("/orders", data=body, content_type="application/json"), 400)


@pytest.mark.parametrize(
    ("field", "text"), BAD_FIELDS, ids=[f"{field} {text[:20]}" for field, text in BAD_FIELDS]
)
def test_bad_fields(client: FlaskClient, store: Store, field: str, text: str) -> None:
    values = {name: json.dumps(value) for name, value in order_body(7).items()} | {field: text}
    body = "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"
    error = post(client, body)
    assert isinstance(error, dict)
    assert list(error) == [field]
    assert store.statuses() == {}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_bodies(client: FlaskClient, body: bytes) -> None:
    assert isinstance(post(client, body), str)


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_bad_idempotency_keys(client: FlaskClient, store: Store, key: str) -> None:
    environment = {"HTTP_IDEMPOTENCY_KEY": key}
    answer = client.post("/orders", json=order_body(7), environ_overrides=environment)
    assert "Idempotency-Key" in error_of(answer, 400)
    assert store.statuses() == {}


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_bad_queries_of_the_list(client: FlaskClient, query: str) -> None:
    error = error_of(client.get(f"/orders?{query}"), 400)
    assert list(error) == [query.partition("=")[0]]


# Whatever is sent: JSON comes back, never a 5xx, and only a 201 stores anything.
arbitrary = settings(max_examples=50)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-1, max_value=3)
    | st.sampled_from([2**63 - 1, 2**63, 150.75, 1e300, float("nan"), float("inf")])
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=10,
)
almost_orders = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, values)) | (
    st.fixed_dictionaries(dict.fromkeys(FIELDS, values))
)
almost_numbers = st.from_regex(
    r"-?[0-9]{1,12}(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
)


def post_anything(client: FlaskClient, store: Store, body: bytes, **options: Any) -> None:
    before = store.statuses()
    answer = client.post("/orders", data=body, **options)
    assert answer.status_code in (201, 400, 409, 413, 415), answer.text
    if answer.status_code == 201:
        order_id = json_of(answer)["order_id"]
        assert store.statuses() == before | {order_id: "Pending"}
    else:
        error_of(answer, answer.status_code)
        assert store.statuses() == before


def get_anything(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (200, 400, 404), answer.text
    body = json_of(answer)
    if answer.status_code != 200:
        assert list(body) == ["error"]


@arbitrary
@given(body=values | almost_orders)
def test_any_json(client: FlaskClient, store: Store, body: object) -> None:
    post_anything(client, store, json.dumps(body).encode(), content_type="application/json")


@arbitrary
@given(body=st.binary(max_size=200))
@example(body=b"\xff")
def test_any_bytes(client: FlaskClient, store: Store, body: bytes) -> None:
    post_anything(client, store, body, content_type="application/json")


@arbitrary
@given(number=almost_numbers, order_id=st.integers(1, 2**63 - 1))
def test_any_number_as_amount(
    client: FlaskClient, store: Store, number: str, order_id: int
) -> None:
    body = f'{{"order_id": {order_id}, "user_id": 1, "item_ids": [1], "total_amount": {number}}}'
    post_anything(client, store, body.encode(), content_type="application/json")


@arbitrary
@given(content_type=st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])))
def test_any_content_type(client: FlaskClient, store: Store, content_type: str) -> None:
    body = b'{"order_id": 7, "user_id": 1, "item_ids": [1], "total_amount": 1}'
    post_anything(client, store, body, environ_overrides={"CONTENT_TYPE": content_type})


@arbitrary
@given(
    query=st.dictionaries(
        st.sampled_from(["status", "user_id", "limit", "after", "view"]),
        st.text() | st.integers().map(str) | st.sampled_from(["Pending", "MQ==", "full"]),
    ).map(lambda query: urlencode(query, errors="replace"))
    | st.binary(max_size=50).map(lambda query: quote_from_bytes(query, safe="=&;+"))
)
def test_any_query_of_the_list(client: FlaskClient, query: str) -> None:
    get_anything(client, f"/orders?{query}")


@arbitrary
@given(name=st.binary(min_size=1, max_size=30), view=st.binary(max_size=10))
def test_any_order_id_in_the_path(client: FlaskClient, name: bytes, view: bytes) -> None:
    get_anything(client, f"/orders/{quote_from_bytes(name, '')}?view={quote_from_bytes(view)}")

"""Whatever is sent: JSON comes back, never a 5xx, and only a 201 stores anything."""

from __future__ import annotations

import json
from urllib.parse import quote_from_bytes, urlencode

from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.answers import error_of, json_of
from tests.support.inspection import Store

# The database is made once for all examples of a test.
arbitrary = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FIELDS = ["order_id", "user_id", "item_ids", "total_amount"]

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


def post_anything(client: FlaskClient, store: Store, body: bytes, **options: object) -> None:
    before = store.statuses()
    answer = client.post("/orders", data=body, **options)  # type: ignore[arg-type]
    assert answer.status_code in (201, 400, 409, 413, 415), answer.text
    if answer.status_code == 201:
        order_id = json_of(answer)["order_id"]
        assert store.statuses() == before | {order_id: "Pending"}
    else:
        error_of(answer, answer.status_code)
        assert store.statuses() == before


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
@given(
    number=st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,4})?", fullmatch=True),
    order_id=st.integers(1, 2**63 - 1),
)
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


def get_anything(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (200, 400, 404), answer.text
    body = json_of(answer)
    if answer.status_code != 200:
        assert list(body) == ["error"]


@arbitrary
@given(query=st.binary(max_size=50))
def test_any_query_of_the_list(client: FlaskClient, query: bytes) -> None:
    get_anything(client, f"/orders?{quote_from_bytes(query, safe='=&;+')}")


@arbitrary
@given(
    query=st.dictionaries(
        st.sampled_from(["status", "user_id", "limit", "after", "view"]),
        st.text() | st.integers().map(str) | st.sampled_from(["Pending", "MQ==", "full"]),
    )
)
def test_any_values_of_the_lists_query(client: FlaskClient, query: dict[str, str]) -> None:
    get_anything(client, f"/orders?{urlencode(query, errors='replace')}")


@arbitrary
@given(name=st.binary(min_size=1, max_size=30), view=st.binary(max_size=10))
def test_any_order_id_in_the_path(client: FlaskClient, name: bytes, view: bytes) -> None:
    get_anything(client, f"/orders/{quote_from_bytes(name, '')}?view={quote_from_bytes(view)}")

"""The API's document: it is what the code says, it is whole, and its examples are true to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import simplejson
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from service.app import create_app
from service.clients import ALL_SCOPES
from service.config import Settings
from service.openapi.document import PATH, build, build_text, is_left_out
from service.web.auth import PUBLIC_PATHS
from service.web.problems import PROBLEMS

DOCUMENT: dict[str, Any] = simplejson.loads(PATH.read_text(encoding="utf-8"))
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give each operation with its path and method."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference leads to."""
    found: Any = DOCUMENT
    for name in part["$ref"].split("/")[1:] if "$ref" in part else ():
        found = found[name]
    return part if found is DOCUMENT else found


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each description of a body, with where it stands."""
    for path, method, operation in operations():
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{method} {path} {media_type}", content
        for status, response in operation["responses"].items():
            for media_type, content in resolved(response)["content"].items():
                yield f"{method} {path} {status} {media_type}", content


def test_it_is_what_the_code_says() -> None:
    assert PATH.read_text(encoding="utf-8") == build_text(), "run `make openapi`, and commit it"


def test_it_is_valid() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


def test_each_route_is_in_it_and_nothing_else() -> None:
    app = create_app(Settings.from_environment({}))
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method)
        for rule in app.url_map.iter_rules()
        if not is_left_out(rule)
        for method in (rule.methods or set()) & METHODS
    }
    assert {(path, method) for path, method, _ in operations()} == routes
    assert len(routes) > 10


def test_a_route_that_nobody_has_described_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(build.__globals__["DETAILS"], "orders.get_order")
    with pytest.raises(KeyError, match=r"orders\.get_order"):
        build()


def test_a_description_of_no_route_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    details = build.__globals__["DETAILS"]
    monkeypatch.setitem(details, "orders.gone", details["orders.get_order"])
    with pytest.raises(ValueError, match=r"orders\.gone"):
        build()


def test_it_says_who_may_do_what() -> None:
    scopes = set()
    for path, method, operation in operations():
        needed = [scope for one in operation["security"] for scope in one["basic"]]
        assert bool(needed) == (path not in PUBLIC_PATHS), (path, method)
        assert {"401", "403"} <= set(operation["responses"]) or not needed
        scopes |= set(needed)
    assert scopes == ALL_SCOPES
    assert DOCUMENT["components"]["securitySchemes"]["basic"]["scheme"] == "basic"


def test_each_answer_has_the_headers_of_the_contract() -> None:
    for path, method, operation in operations():
        for status, response in operation["responses"].items():
            headers = set(resolved(response)["headers"])
            expected = {"X-Request-ID"}
            expected |= {"Location"} if status in ("201", "202") else set()
            expected |= {"Vary"} if status >= "400" or path == "/metrics" else set()
            expected |= {"WWW-Authenticate"} if status == "401" else set()
            expected |= {"Retry-After"} if status == "503" else set()
            assert expected <= headers, (path, method, status)
    posted = DOCUMENT["paths"]["/orders"]["post"]["responses"]
    assert "Idempotent-Replayed" in resolved(posted["201"])["headers"]
    assert "Idempotent-Replayed" in resolved(posted["409"])["headers"]


def test_each_error_has_both_forms_and_each_code_is_listed() -> None:
    codes = set()
    for name, response in DOCUMENT["components"]["responses"].items():
        assert set(response["content"]) == {"application/json", "application/problem+json"}
        codes |= set(name.split("."))
    general = {"bad_request", "not_found", "method_not_allowed", "internal_error"}
    assert codes | general == set(PROBLEMS)
    schema = DOCUMENT["components"]["schemas"]["Problem"]
    assert schema["properties"]["code"]["enum"] == list(PROBLEMS)


def test_its_examples_are_true_to_its_schemas() -> None:
    seen = 0
    for where, content in contents():
        given = [one["value"] for one in content.get("examples", {}).values()]
        given += [content["example"]] if "example" in content else []
        schema = {**content["schema"], "components": DOCUMENT["components"]}
        for example in given:
            problems = [one.message for one in OAS31Validator(schema).iter_errors(example)]
            assert problems == [], where
            seen += 1
    assert seen > 50


def test_what_json_answers_hold_is_said() -> None:
    """A schema without a type, or that allows other fields, says nothing."""
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field, said in schema["properties"].items():
            assert {"type", "$ref", "oneOf"} & set(said), (name, field)
        assert schema.get("additionalProperties") is False or name in ("Error", "Problem")


def test_identifiers_are_exact() -> None:
    text = PATH.read_text(encoding="utf-8")
    assert '"maximum": 9223372036854775807' in text
    assert '"order_id": 9223372036854775807' in text
    assert '"maximum": 9999999999.99' in text
    assert "9223372036854776" not in text

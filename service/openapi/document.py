"""The document, from the application and from what stands by endpoint."""

from __future__ import annotations

import re
from inspect import getdoc
from pathlib import Path
from typing import Any

import simplejson
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from marshmallow import Schema
from werkzeug.routing import Rule

import service
from service.app import create_app
from service.clients import IMPLIED
from service.config import Settings
from service.openapi import monitoring, operations, orders, processing
from service.openapi.answers import add_components, errors
from service.openapi.details import Details
from service.openapi.fields import ID, meaning
from service.openapi.text import DESCRIPTION, TAGS
from service.web.auth import PUBLIC_PATHS, Scope, scopes_of

PATH = Path(service.__path__[0]) / "web" / "openapi.json"
# Pages for people.
LEFT_OUT = "console"
DETAILS: dict[str, Details] = {
    **orders.DETAILS,
    **operations.DETAILS,
    **processing.DETAILS,
    **monitoring.DETAILS,
}
ANSWERS: tuple[type[Schema], ...] = (
    *orders.ANSWERS,
    *operations.ANSWERS,
    *processing.ANSWERS,
    *monitoring.ANSWERS,
)


def build_text() -> str:
    """Return the document as it is stored."""
    return simplejson.dumps(build(), use_decimal=True, indent=1, ensure_ascii=False) + "\n"


def build() -> dict[str, Any]:
    """Return the document.

    Raises:
        KeyError: a route has no details.
        ValueError: there are details for no route.
    """
    app = create_app(Settings.from_environment({}))
    plugin = MarshmallowPlugin()
    spec = APISpec(
        "Order service",
        "1",
        "3.1.0",
        plugins=[plugin],
        info={"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
        tags=TAGS,
        security=[{"basic": []}],
    )
    assert plugin.converter is not None  # since `spec` was made  # noqa: S101
    plugin.converter.add_attribute_function(meaning)  # type: ignore[no-untyped-call]
    add_components(spec)
    for schema in ANSWERS:
        spec.components.schema(schema.__name__.removesuffix("Schema"), schema=schema)
    rules = [rule for rule in app.url_map.iter_rules() if not is_left_out(rule)]
    if unknown := set(DETAILS) - {rule.endpoint for rule in rules}:
        raise ValueError(f"no route has these endpoints: {sorted(unknown)}")
    for rule in rules:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD"}):
            spec.path(path, operations={method.lower(): _operation(spec, app, rule, path)})
    document: dict[str, Any] = spec.to_dict()
    _complete(document)
    return document


def is_left_out(rule: Rule) -> bool:
    """Return whether a route belongs to no program's API."""
    return str(rule.endpoint).partition(".")[0] == LEFT_OUT


def _operation(spec: APISpec, app: Flask, rule: Rule, path: str) -> dict[str, Any]:
    details = DETAILS[rule.endpoint]
    view = app.view_functions[rule.endpoint]
    public = path in PUBLIC_PATHS
    changes = not public and "GET" not in (rule.methods or ())
    common = () if public else ("unauthorized", "insufficient_scope")
    if changes:
        common = (*common, "foreign_site")
    operation: dict[str, Any] = {
        "tags": [details.tag],
        "operationId": rule.endpoint.partition(".")[2],
        "summary": (getdoc(view) or "").partition("\n\n")[0].replace("\n", " "),
        "responses": details.responses | errors(spec, *details.errors, *common),
        "security": [] if public else _security(scopes_of(view)),
    }
    if details.description:
        operation["description"] = details.description
    parameters: list[dict[str, Any]] = [
        {"in": "path", "name": name, "required": True, "schema": ID}
        for name in sorted(rule.arguments)
    ]
    if details.query:
        parameters.append({"in": "query", "schema": details.query})
    parameters += map(dict, details.headers)
    if parameters:
        operation["parameters"] = parameters
    if details.body:
        content = {"schema": details.body, "examples": details.body_examples}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation | details.extensions


def _security(scopes: tuple[Scope, ...]) -> list[dict[str, list[str]]]:
    implied = (Scope.OPERATE,) if set(scopes) & IMPLIED else ()
    return [{"basic": [scope.value]} for scope in dict.fromkeys((*scopes, *implied))]


def _complete(document: dict[str, Any]) -> None:
    """Say what apispec does not derive: answers have all of their fields, and nothing has others;
    lists in a query are separated by commas."""
    answers = {schema.__name__.removesuffix("Schema") for schema in ANSWERS}
    for name, schema in document["components"]["schemas"].items():
        if name in ("Error", "Problem"):
            continue
        schema["additionalProperties"] = False
        if name in answers:
            schema["required"] = list(schema["properties"])
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                if parameter["schema"].get("type") == "array":
                    parameter |= {"style": "form", "explode": False}

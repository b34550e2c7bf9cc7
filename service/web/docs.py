"""`/openapi.json` and `/docs`: what the HTTP API offers, for programs and for people.

`make openapi` makes the document. The page is made from it here, without a script: what parses
JSON in a browser rounds 64-bit integers.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, render_template
from markupsafe import Markup, escape

from service.web.problems import PROBLEMS

blueprint = Blueprint("docs", __name__, template_folder="templates")

DOCUMENT = (Path(__file__).parent / "openapi.json").read_bytes()
STYLE = (Path(__file__).parent / "templates" / "docs.css").read_text(encoding="utf-8")
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src data:; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@blueprint.get("/openapi.json")
def get_document() -> Response:
    """Return this document."""
    return Response(DOCUMENT, content_type="application/json")


@blueprint.get("/docs")
def show_page() -> Response:
    """Return this document as a page for people."""
    return Response(_page(), content_type="text/html; charset=utf-8", headers=HEADERS)


@cache
def _page() -> str:
    document = current_app.json.loads(DOCUMENT)
    return render_template(
        "docs.html",
        document=document,
        # A browser takes it with the page, and it is exactly what the policy names.
        style=Markup(STYLE),  # noqa: S704
        problems=PROBLEMS.values(),
        operations=list(_operations(document)),
        resolve=lambda part: _resolve(document, part),
        kind_of=lambda schema: _kind(document, schema),
        limits_of=_limits,
        to_json=_to_json,
        prose=_prose,
        curl=_curl,
    )


def _operations(document: Mapping[str, Any]) -> Any:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            scopes = [scope for one in operation["security"] for scope in one.get("basic", [])]
            yield {**operation, "path": path, "method": method.upper(), "scopes": scopes}


def _resolve(document: Mapping[str, Any], part: Mapping[str, Any]) -> Any:
    """Return what a `$ref` leads to, or the part itself."""
    if "$ref" not in part:
        return part
    found: Any = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Markup:
    """Return the type of a schema in few words, with a link where it has a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "oneOf" in schema:
        return Markup(" or ").join(_kind(document, one) for one in schema["oneOf"])
    if "enum" in schema:
        return Markup(" or ").join(Markup("<code>{}</code>").format(one) for one in schema["enum"])
    kinds = schema.get("type", "anything")
    text = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if "items" in schema:
        return escape(f"{text} of ") + _kind(document, schema["items"])
    return escape(f"{text} ({schema['format']})" if "format" in schema else text)


def _limits(schema: Mapping[str, Any]) -> str:
    """Return what is allowed within the type."""
    limits = []
    if "minimum" in schema or "maximum" in schema:
        above = f" to {schema['maximum']}" if "maximum" in schema else ""
        limits.append(f"from {schema.get('minimum', '…')}{above}")
    if "multipleOf" in schema:
        limits.append(f"a multiple of {schema['multipleOf']}")
    for low, high, what in (
        ("minItems", "maxItems", "items"),
        ("minLength", "maxLength", "characters"),
    ):
        if high in schema:
            limits.append(f"{schema.get(low, 0)} to {schema[high]} {what}")
    if "default" in schema:
        limits.append(f"by default {schema['default']}")
    return ", ".join(limits)


def _to_json(value: object) -> str:
    """Return JSON for people, with each number as it is written in the document."""
    return _indent(value, "")


def _indent(value: object, space: str) -> str:
    if isinstance(value, dict) and value:
        inner = [
            f"{space}  {current_app.json.dumps(name)}: {_indent(one, space + '  ')}"
            for name, one in value.items()
        ]
        return "{\n" + ",\n".join(inner) + f"\n{space}}}"
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return "[" + ", ".join(_indent(one, space) for one in value) + "]"
    return current_app.json.dumps(value)


def _curl(operation: Mapping[str, Any]) -> str:
    """Return a command that makes the request, with the first example of its body."""
    user = ' -u "$CLIENT"' if operation["security"] else ""
    line = f'curl{user} "$URL{re.sub("{.*?}", "123", operation["path"])}"'
    if operation["method"] == "POST":
        line = line.replace("curl", "curl -X POST", 1)
    if body := operation.get("requestBody"):
        [example, *_] = body["content"]["application/json"]["examples"].values()
        data = current_app.json.dumps(example["value"])
        line = line.replace(" -X POST", "", 1)
        line += f" \\\n  -H 'Content-Type: application/json' -d '{data}'"
    return line


def _prose(text: str) -> Markup:
    """Return paragraphs of text in which `code` and **strong** are marked."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    marked = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", marked)
    paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in marked.split("\n\n"))
    return Markup(paragraphs)  # noqa: S704 - escaped above

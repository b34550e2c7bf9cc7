"""What the document says to people before it comes to the operations."""

from __future__ import annotations

DESCRIPTION = """\
Accepts orders, and processes each one from `Pending` to `Processing` to `Completed`, `Failed` or \
`Cancelled`. An order that was answered with 201 is stored durably.

**Credentials.** HTTP Basic: a client's name and its secret. What a client may do are its scopes: \
`orders:write`, `orders:read`, `metrics:read` and `operate`. Each operation names those of which \
it needs one.

**Bodies** are JSON in UTF-8, of 1 MiB at most, and not compressed. A field that is not known is \
refused, and so is a name that stands twice. Identifiers go up to 9223372036854775807: read them \
as 64-bit integers. `33180.0` and `"33180"` are no integers. Amounts are decimals: do not read \
them as binary floating point.

**Parameters** that are not known, have no value, or are given twice are refused. An identifier \
in a path has one spelling: `/orders/0123` is not found.

**Errors** are `{"error": …}`: a text, or names of fields with lists of messages. A client whose \
`Accept` prefers `application/problem+json` over `application/json` gets problem details (RFC \
9457) with a `code`. Codes stay the same, texts may change. An address that is not known is 404, \
and a method that an address does not have is 405 with `Allow`.

**Repeating.** A client that saw no answer, or a 503, sends the same request again. With the same \
`Idempotency-Key`, `POST /orders` then gives its first answer again.

Every `GET` also answers to `HEAD`. Every answer has an `X-Request-ID`."""
TAGS = [
    {"name": "Orders", "description": "Post, read, list and cancel orders."},
    {"name": "Operations", "description": "Retry or cancel all orders that match a filter."},
    {"name": "Processing", "description": "Pause the processing of orders."},
    {"name": "Monitoring", "description": "Figures, and signs of life."},
    {"name": "About", "description": "This document."},
]

"""What keeps other sites' pages from acting through an operator's browser."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request

from service.web.errors import ApiError


def check_origin() -> None:
    """Refuse a request that a page of another site, or no page at all, has sent.

    Browsers send `Sec-Fetch-Site` over TLS and to localhost. Where it is missing, `Origin` has to
    name this host; the port is not compared, since a proxy may pass the host on without it.

    Raises:
        ApiError: 403.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site == "same-origin":
        return
    if site is None:
        origin = _host_of(request.headers.get("Origin", ""))
        if origin is not None and origin == _host_of(f"//{request.headers.get('Host', '')}"):
            return
    raise ApiError(403, "Only pages of this console may do that.")


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None

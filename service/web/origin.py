"""Whether a page of another site has sent a request, through the browser of somebody who is known.

Browsers send `Sec-Fetch-Site` over TLS and to localhost. Where it is missing, `Origin` has to name
this host; the port is not compared, since a proxy may pass the host on without it. Programs send
neither.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request

OTHER_SITES = ("cross-site", "same-site")


def is_own_page() -> bool:
    """Return whether the request shows that a page of this very site has sent it."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("Origin") is not None and _origin_is_this_host()


def is_foreign_page() -> bool:
    """Return whether the request shows that a page of another site has sent it."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in OTHER_SITES
    return request.headers.get("Origin") is not None and not _origin_is_this_host()


def _origin_is_this_host() -> bool:
    origin = _host_of(request.headers["Origin"])
    return origin is not None and origin == _host_of(f"//{request.headers.get('Host', '')}")


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None

"""Which of two forms of an answer a client prefers, by its `Accept` header."""

from __future__ import annotations

from flask import request

JSON = ("application/json", "application/*", "*/*")


def prefers(wanted: tuple[str, ...]) -> bool:
    """Return whether the client of this request prefers these media types over JSON.

    The quality decides, then whether the type is named or only matched by a wildcard. JSON wins a
    tie. Parameters, such as a format's version, do not matter.
    """
    if request.headers.get("Accept", "*/*") == "*/*":  # what most send
        return False
    best = {True: (0.0, False), False: (0.0, False)}
    for value, quality in request.accept_mimetypes:
        media_type = value.partition(";")[0].strip().lower()
        for is_wanted, types in ((True, wanted), (False, JSON)):
            if quality and media_type in types:
                best[is_wanted] = max(best[is_wanted], (quality, "*" not in media_type))
    return best[True] > best[False]

"""The ledger of releases: what this host has run, and what it can go back to.

`state/ledger.json` is `{"active": "<release>", "releases": [entry, ...]}`, the entry that was
activated last at the end. An entry:

    release      the commit, which is the image's tag as well
    image        the image's id on this host
    digest       what the registry calls it, or null where the host built it
    replaced     the release that served before it was first deployed, or null
    deployed_at  RFC 3339, UTC
    deployed_by  who ran the playbook
"""

from __future__ import annotations

from typing import Any, TypedDict

from order_service.host import STATE, now, read_json, write_json

PATH = STATE / "ledger.json"
KEPT = 5


class Entry(TypedDict):
    """One release."""

    release: str
    image: str
    digest: str | None
    replaced: str | None
    deployed_at: str
    deployed_by: str


class Ledger(TypedDict):
    """All of them."""

    active: str | None
    releases: list[Entry]


def read() -> Ledger:
    """Return the ledger; an empty one on a new host."""
    found: Any = read_json(PATH, {"active": None, "releases": []})
    ledger: Ledger = found
    return ledger


def find(ledger: Ledger, release: str | None) -> Entry | None:
    """Return the release's entry."""
    return next((entry for entry in ledger["releases"] if entry["release"] == release), None)


def previous(ledger: Ledger) -> str | None:
    """Return the release that a rollback goes to: what served before the active one."""
    active = find(ledger, ledger["active"])
    replaced = active["replaced"] if active else None
    return replaced if find(ledger, replaced) else None


def activate(
    ledger: Ledger, release: str, image: str, digest: str | None, by: str, *, back: bool
) -> Ledger:
    """Return the ledger with this release as the active one.

    Going `back` keeps what the release had replaced itself, so a second rollback goes one further.
    """
    former = find(ledger, release)
    replaced = ledger["active"]
    if former and (back or replaced == release):
        replaced = former["replaced"]
    entry = Entry(
        release=release,
        image=image,
        digest=digest or (former["digest"] if former else None),
        replaced=replaced,
        deployed_at=now(),
        deployed_by=by,
    )
    others = [one for one in ledger["releases"] if one["release"] != release]
    return Ledger(active=release, releases=_newest([*others, entry], replaced))


def _newest(entries: list[Entry], needed: str | None) -> list[Entry]:
    """Leave out the oldest, but never what the next rollback needs."""
    surplus = len(entries) - KEPT
    kept = []
    for entry in entries:
        if surplus > 0 and entry["release"] != needed:
            surplus -= 1
        else:
            kept.append(entry)
    return kept


def write(ledger: Ledger) -> None:
    """Put the ledger in place."""
    write_json(PATH, ledger)

"""Gives nginx its certificate: the user's own, else an ACME authority's, else a private one's.

In the stack this is a one-shot that runs before nginx, and on a deployed host a part of the command
`certificate`. The private authority is made here. Its leaf is issued anew in the last third of its
lifetime, and when the names have changed. What the user brought is never overwritten.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from order_service.certificates import authority, pair, private
from order_service.certificates.files import Files
from order_service.certificates.pair import CertificateError, Pair

VOLUMES = Path(os.environ.get("VOLUMES", "/volumes"))
ALWAYS = ("localhost", "127.0.0.1", "::1")
# As certbot names them, and wants them when there is no other advice.
CHAIN, KEY = "fullchain.pem", "privkey.pem"
# Less is left when renewals fail. Of a year, of 90 days, and of 6.
LOW = 1 / 5
HSTS = 'add_header Strict-Transport-Security "max-age=63072000" always;\n'
NO_HSTS = "# Not with a certificate that browsers do not trust.\n"


@dataclass(frozen=True)
class Places:
    """The folders: nginx's, the private authority's, the user's own and the ACME client's."""

    nginx: Path
    authority: Path
    own: Path
    # None where no ACME authority is wanted.
    acme: Path | None


@dataclass(frozen=True)
class Brought:
    """What nginx has now."""

    # For people.
    text: str
    changed: bool
    # Whether it is another authority's than the private one.
    public: bool


def bring(
    places: Places, names: Sequence[str], fallback: Sequence[str] = (), *, dry: bool = False
) -> Brought:
    """Have nginx's folder hold the certificate that it is to serve.

    Args:
        places: the folders.
        names: what the certificate has to be good for.
        fallback: what a private one is for where there are no names; those that cannot be in a
            certificate are left out.
        dry: only tell whether something would change.

    Raises:
        CertificateError: the user's own cannot be used, or none can be issued; the text says why.
    """
    files = Files(dry)
    files.folder(places.nginx, 0o755)
    own = _own(places.own, names)
    if given := own or acme_pair(places.acme):
        return give(files, places.nginx, given, "your own" if own else "the ACME authority's")
    wanted = names or [one for one in fallback if not authority.refused([one])]
    text = private.issue(files, places.nginx, places.authority, [*wanted, *ALWAYS])
    files.put(places.nginx / "hsts.conf", NO_HSTS.encode())
    return Brought(text, files.changed, public=False)


def give(files: Files, folder: Path, given: Pair, whose: str) -> Brought:
    """Put a certificate of another issuer into nginx's folder."""
    trusted = given.is_trusted()
    files.put_key(folder / "tls.key", given.key_pem)
    files.put(folder / "tls.crt", given.chain_pem)
    files.put(folder / "hsts.conf", (HSTS if trusted else NO_HSTS).encode())
    files.remove(folder / "ca.crt")
    how = "trusted by browsers: with HSTS" if trusted else "of a private issuer: without HSTS"
    text = f"{whose}, valid until {authority.end_of(given.leaf):%Y-%m-%d %H:%M}, {how}"
    return Brought(text, files.changed, public=True)


def acme_pair(folder: Path | None) -> Pair | None:
    """Return what the ACME client has; None where that is nothing that clients accept."""
    if folder is None or not (folder / CHAIN).exists():
        return None
    try:
        found = pair.read(folder / CHAIN, folder / KEY)
        found.check()
    except CertificateError:
        return None
    return found


def _own(folder: Path, names: Sequence[str]) -> Pair | None:
    """Return what the user brought.

    Raises:
        CertificateError: it cannot be used.
    """
    if not (folder / CHAIN).exists() and not (folder / KEY).exists():
        return None
    found = pair.read(folder / CHAIN, folder / KEY)
    found.check(names)
    return found


def names_given() -> list[str]:
    """Return the host names and addresses of the setting TLS_NAMES."""
    return [name for one in os.environ.get("TLS_NAMES", "").split(",") if (name := one.strip())]


def main() -> None:
    """Do it for the stack, whose folders are volumes."""
    profiles = os.environ.get("COMPOSE_PROFILES", "").split(",")
    places = Places(
        nginx=VOLUMES / "certificates",
        authority=VOLUMES / "authority",
        own=Path(os.environ.get("OWN_CERTIFICATE", "/run/own")),
        acme=VOLUMES / "acme" / "current" if "acme" in profiles else None,
    )
    names = names_given()
    if wrong := authority.refused(names):
        sys.exit(
            f"certificates: TLS_NAMES: {', '.join(wrong)} is not allowed; expected host names or IP"
            " addresses"
        )
    try:
        brought = bring(places, names)
    except CertificateError as problem:
        sys.exit(f"certificates: {problem}")
    sys.stdout.write(f"certificates: {brought.text}\n")
    if not brought.public:
        told = "verify with: docker compose cp nginx:/etc/nginx/certificates/ca.crt ."
        sys.stdout.write(f"certificates: {told}\n")


if __name__ == "__main__":
    main()

"""Gives nginx its certificate: the user's own, else an ACME authority's, else a private one's.

In the stack this is a one-shot that runs before nginx, and on a deployed host a part of the command
`certificate`. The private authority is made here. Its leaf is issued anew in the last third of its
lifetime, and when the names have changed. What the user brought is never overwritten.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from order_service.certificates import authority, pair
from order_service.certificates.authority import Authority, CertificateError
from order_service.certificates.pair import Pair

VOLUMES = Path(os.environ.get("VOLUMES", "/volumes"))
# nginx's user and group in its image.
NGINX = int(os.environ.get("NGINX_ID", "101"))
ALWAYS = ("localhost", "127.0.0.1", "::1")
# As certbot names them.
CHAIN, KEY = "fullchain.pem", "privkey.pem"
RENEW_WITH_LEFT = 1 / 3
# A leaf of an authority that ends sooner would help nobody.
AUTHORITY_LEFT = timedelta(days=30)
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


def bring(places: Places, names: Sequence[str], fallback: Sequence[str] = ()) -> Brought:
    """Have nginx's folder hold the certificate that it is to serve.

    Args:
        places: the folders.
        names: what the certificate has to be good for.
        fallback: what a private one is for where there are no names; those that cannot be in a
            certificate are left out.

    Raises:
        CertificateError: the user's own cannot be used, or none can be issued; the text says why.
    """
    places.nginx.mkdir(exist_ok=True)
    own = None
    if (places.own / CHAIN).exists() or (places.own / KEY).exists():
        own = pair.read(places.own / CHAIN, places.own / KEY)
        own.check(names)
    if given := own or acme_pair(places.acme):
        return give(places.nginx, given, "your own" if own else "the ACME authority's")
    wanted = [*(names or filter(authority.is_allowed, fallback)), *ALWAYS]
    wanted = list(dict.fromkeys(map(authority.normal, wanted)))
    issuer, made = private_authority(places.authority)
    leaf, key_pem = kept_or_issued(
        issuer, places.nginx / "tls.crt", places.nginx / "tls.key", wanted
    )
    end = authority.end_of(x509.load_pem_x509_certificate(leaf))
    changed = _place(places.nginx, key_pem, leaf, NO_HSTS)
    changed |= put(places.nginx / "ca.crt", issuer.certificate_pem)
    text = f"the private authority's for {', '.join(wanted)}, valid until {end:%Y-%m-%d}"
    return Brought(text, changed or made, public=False)


def give(nginx: Path, given: Pair, whose: str) -> Brought:
    """Put a certificate of another issuer into nginx's folder."""
    trusted = given.is_trusted()
    changed = _place(nginx, given.key_pem, given.chain_pem, HSTS if trusted else NO_HSTS)
    (nginx / "ca.crt").unlink(missing_ok=True)
    how = "trusted by browsers: with HSTS" if trusted else "of a private issuer: without HSTS"
    text = f"{whose}, valid until {authority.end_of(given.leaf):%Y-%m-%d %H:%M}, {how}"
    return Brought(text, changed, public=True)


def acme_pair(folder: Path | None) -> Pair | None:
    """Return what the ACME client has; None where that is nothing that clients accept."""
    try:
        found = pair.read(folder / CHAIN, folder / KEY) if folder else None
        if found:
            found.check()
    except CertificateError:
        return None
    return found


def put(path: Path, content: bytes, mode: int = 0o644, user: int = -1, group: int = -1) -> bool:
    """Have a file with this content, mode and owners, as a whole; return whether it was another."""
    if path.exists() and path.read_bytes() == content:
        now = path.stat()
        owned = user in (-1, now.st_uid) and group in (-1, now.st_gid)
        if owned and stat.S_IMODE(now.st_mode) == mode:
            return False
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    # Nobody else's until it has its owner and its mode.
    new.touch(mode=0o600)
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chown(new, user, group)
    new.chmod(mode)
    new.replace(path)
    return True


def _place(nginx: Path, key_pem: bytes, chain_pem: bytes, hsts: str) -> bool:
    """Put what nginx reads in place; return whether it was something else."""
    key = nginx / "tls.key"
    # Who cannot give the key away shares it with nginx's group.
    if os.geteuid() == 0:
        changed = put(key, key_pem, 0o400, NGINX, NGINX)
    else:
        changed = put(key, key_pem, 0o640, group=NGINX)
    changed |= put(nginx / "tls.crt", chain_pem)
    return put(nginx / "hsts.conf", hsts.encode()) or changed


def private_authority(folder: Path) -> tuple[Authority, bool]:
    """Return the authority, of the key that is there or a new one, and whether it was not right."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    key_file, certificate_file = folder / "ca.key", folder / "ca.crt"
    key_pem = _read(key_file)
    key = authority.read_key(key_pem)
    if key is None and key_pem:
        raise CertificateError(
            f"{key_file} is not a private key that can be read. Restore it; or remove {folder}, and"
            " give clients the new ca.crt"
        )
    certificate = authority.read_certificate(_read(certificate_file))
    if key is None or certificate is None or certificate.public_key() != key.public_key():
        issuer = authority.make(key)
    else:
        issuer = Authority(certificate, key)
    changed = put(key_file, key_pem or issuer.key_pem, 0o600)
    return issuer, put(certificate_file, issuer.certificate_pem) or changed


def kept_or_issued(
    issuer: Authority, certificate_file: Path, key_file: Path, names: list[str], **issued: Any
) -> tuple[bytes, bytes]:
    """Return the certificate and its key that there are, while they are right, or new ones.

    Args:
        issuer: whose certificate it has to be.
        certificate_file: where it is, if there is one.
        key_file: where its key is.
        names: what it has to be good for, and nothing else.
        issued: what else `Authority.issue` is told.

    Raises:
        CertificateError: the authority is about to end itself.
    """
    certificate_pem, key_pem = _read(certificate_file), _read(key_file)
    leaf, key = authority.read_certificate(certificate_pem), authority.read_key(key_pem)
    if (
        leaf is not None
        and key is not None
        and leaf.public_key() == key.public_key()
        and issuer.has_issued(leaf)
        and authority.names_of(leaf) == set(names)
        and authority.share_left(leaf) > RENEW_WITH_LEFT
    ):
        return certificate_pem, key_pem
    end = authority.end_of(issuer.certificate)
    if end - datetime.now(UTC) < AUTHORITY_LEFT:
        raise CertificateError(
            f"the authority itself ends on {end:%Y-%m-%d}; remove its folder, have a new one made,"
            " and give clients the new ca.crt"
        )
    return issuer.issue(names, key=key, **issued)


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def names_given() -> list[str]:
    """Return the host names and addresses of the setting TLS_NAMES."""
    return [name for one in os.environ.get("TLS_NAMES", "").split(",") if (name := one.strip())]


def main() -> None:
    """Do it for the stack, whose folders are volumes."""
    places = Places(
        nginx=VOLUMES / "certificates",
        authority=VOLUMES / "authority",
        own=Path(os.environ.get("OWN_CERTIFICATE", "/run/own")),
        # Whatever profiles this call of Compose names: another one's client keeps its certificate.
        acme=VOLUMES / "acme" / "current",
    )
    try:
        authority.check(names := names_given(), "TLS_NAMES")
        brought = bring(places, names)
    except (CertificateError, OSError) as problem:
        sys.exit(f"certificates: {problem}")
    sys.stdout.write(f"certificates: {brought.text}\n")
    if not brought.public:
        told = "verify with: docker compose cp nginx:/etc/nginx/certificates/ca.crt ."
        sys.stdout.write(f"certificates: {told}\n")


if __name__ == "__main__":
    main()

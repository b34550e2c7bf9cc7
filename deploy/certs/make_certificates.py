"""Gives nginx its certificate: the user's own, else a leaf of a private authority made here.

The authority's key lies in a volume that nothing but this mounts. A leaf is made anew when it has
under 30 days left, or when the names have changed. What the user brought is never overwritten.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import authority
from cryptography import x509
from own_certificate import OwnCertificateError, is_trusted, read_own

VOLUMES = Path(os.environ.get("VOLUMES", "/volumes"))
AUTHORITY = VOLUMES / "authority"
CERTIFICATES = VOLUMES / "certificates"
# A folder of the user's, empty unless he brought a certificate.
OWN = Path(os.environ.get("OWN_CERTIFICATE", "/run/own"))
NGINX_GROUP = int(os.environ.get("NGINX_GROUP", "101"))
ALWAYS = ("localhost", "127.0.0.1", "::1")
RENEW_BEFORE = timedelta(days=30)
HSTS = 'add_header Strict-Transport-Security "max-age=63072000" always;\n'
NO_HSTS = "# Not with a certificate that browsers do not trust.\n"


def say(text: str) -> None:
    """Tell the reader of `docker compose logs certificates`."""
    sys.stdout.write(f"certificates: {text}\n")


def write(path: Path, data: bytes, mode: int) -> None:
    """Put the data in place as a whole."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_bytes(data)
    if path.parent == CERTIFICATES:
        os.chown(new, -1, NGINX_GROUP)
    new.chmod(mode)
    new.replace(path)


def wanted_names() -> list[str]:
    """Return what the certificate must be good for: this host, and TLS_NAMES."""
    named = [name.strip() for name in os.environ.get("TLS_NAMES", "").split(",")]
    return list(dict.fromkeys([*ALWAYS, *filter(None, named)]))


def load_authority() -> authority.Authority:
    """Return the authority, made at the first run."""
    certificate, key = AUTHORITY / "ca.crt", AUTHORITY / "ca.key"
    if not certificate.exists():
        made = authority.make()
        write(key, made.key_pem, 0o600)
        write(certificate, made.certificate_pem, 0o644)
        say("made a private authority")
    return authority.load(certificate.read_bytes(), key.read_bytes())


def reason_to_issue(issuer: authority.Authority, names: list[str]) -> str | None:
    """Say why nginx needs a new leaf, or None when it does not."""
    path = CERTIFICATES / "tls.crt"
    if not path.exists() or not (CERTIFICATES / "tls.key").exists():
        return "there is none"
    leaf = x509.load_pem_x509_certificate(path.read_bytes())
    if not issuer.has_issued(leaf):
        return "the former one is another issuer's"
    if leaf.not_valid_after_utc - datetime.now(UTC) < RENEW_BEFORE:
        return f"the former one ends on {leaf.not_valid_after_utc:%Y-%m-%d}"
    if authority.names_of(leaf) != set(names):
        return "the names have changed"
    return None


def use_authority() -> None:
    """Keep nginx's leaf valid."""
    issuer = load_authority()
    names = wanted_names()
    try:
        reason = reason_to_issue(issuer, names)
        if reason:
            certificate, key = issuer.issue(names)
            write(CERTIFICATES / "tls.key", key, 0o640)
            write(CERTIFICATES / "tls.crt", certificate, 0o644)
            say(f"issued for {', '.join(names)}, since {reason}")
    except ValueError as problem:
        sys.exit(f"certificates: TLS_NAMES: {problem}; expected host names or IP addresses")
    write(CERTIFICATES / "ca.crt", issuer.certificate_pem, 0o644)
    write(CERTIFICATES / "hsts.conf", NO_HSTS.encode(), 0o644)
    say("verify with: docker compose cp nginx:/etc/nginx/certificates/ca.crt .")


def use_own(certificate: bytes, key: bytes) -> None:
    """Give nginx what the user brought."""
    write(CERTIFICATES / "tls.key", key, 0o640)
    write(CERTIFICATES / "tls.crt", certificate, 0o644)
    (CERTIFICATES / "ca.crt").unlink(missing_ok=True)
    leaf = x509.load_pem_x509_certificate(certificate)
    trusted = is_trusted(certificate)
    write(CERTIFICATES / "hsts.conf", (HSTS if trusted else NO_HSTS).encode(), 0o644)
    say(
        f"your own, valid until {leaf.not_valid_after_utc:%Y-%m-%d},"
        f" {'trusted by browsers: with HSTS' if trusted else 'of a private issuer: without HSTS'}"
    )


def main() -> None:
    """Bring the certificate that nginx is to have."""
    try:
        own = read_own(OWN)
    except OwnCertificateError as problem:
        sys.exit(f"certificates: {problem}")
    if own is None:
        use_authority()
    else:
        use_own(*own)


if __name__ == "__main__":
    main()

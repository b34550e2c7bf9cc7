"""Keeps nginx's certificate valid between deployments: the order-service-certificate timer runs it.

With under 30 days left, the host's own authority issues the same certificate again: for the same
key and names, with another serial number and another end. What another authority has issued, the
operator's own certificate that is, stays as it is. Then nginx takes up what it does not serve yet.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import sys
from datetime import UTC, datetime, timedelta

# The host's own, of the package python3-cryptography: version 41 (Ubuntu 24.04) or later.
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from order_service.host import CERTIFICATES, ROOT, CommandError, run, say, try_run, write_text
from order_service.release import nginx

AUTHORITY = ROOT / "authority"
LEAF = CERTIFICATES / "tls.crt"
DAYS = 365
RENEW_BEFORE = timedelta(days=30)
# Clocks differ: a certificate made this moment must be valid for a client that is behind.
BACKDATED = timedelta(hours=1)
SECONDS = 10


def main() -> None:
    """Renew what is due; the last line begins with CHANGED or UNCHANGED."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reload", action="store_true", help="reload nginx in any case")
    given = parser.parse_args()
    try:
        renewed = renew_if_due()
        reloaded = _take_up(always=given.reload)
    except CommandError as problem:
        sys.exit(f"FAILED: {problem}")
    say("CHANGED" if renewed or reloaded else "UNCHANGED")


def renew_if_due() -> bool:
    """Issue the certificate again when it ends soon; return whether that was done.

    Raises:
        CommandError: it cannot be; the text says why.
    """
    leaf, authority = installed(), _authority()
    if authority is None or not _has_issued(authority, leaf):
        say(f"another authority's certificate, valid until {end_of(leaf):%Y-%m-%d}: not renewed")
        return False
    if end_of(leaf) - datetime.now(UTC) >= RENEW_BEFORE:
        say(f"valid until {end_of(leaf):%Y-%m-%d}")
        return False
    if end_of(authority) - datetime.now(UTC) < RENEW_BEFORE:
        raise CommandError(
            f"the authority itself ends on {end_of(authority):%Y-%m-%d}; remove {AUTHORITY}, run"
            " deploy.yml for a new one, and give clients the new ca.crt"
        )
    renewed = reissue(leaf, authority, _authority_key())
    write_text(LEAF, renewed.public_bytes(Encoding.PEM).decode())
    say(f"renewed, valid until {end_of(renewed):%Y-%m-%d}")
    return True


def reissue(
    leaf: x509.Certificate, authority: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """Return the certificate with another serial number and another time."""
    start = datetime.now(UTC) - BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(authority.subject)
        .public_key(leaf.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(min(start + timedelta(days=DAYS), end_of(authority)))
    )
    for extension in leaf.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(key, hashes.SHA256())


def installed() -> x509.Certificate:
    """Return the certificate that nginx is given."""
    return _load(LEAF.read_bytes())


def end_of(certificate: x509.Certificate) -> datetime:
    """Return when the certificate ends."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=UTC)  # of version 41, in UTC as well


def start_of(certificate: x509.Certificate) -> datetime:
    """Return from when the certificate is valid."""
    if hasattr(certificate, "not_valid_before_utc"):
        return certificate.not_valid_before_utc
    return certificate.not_valid_before.replace(tzinfo=UTC)


def _authority() -> x509.Certificate | None:
    path = AUTHORITY / "ca.crt"
    return _load(path.read_bytes()) if path.exists() else None


def _authority_key() -> ec.EllipticCurvePrivateKey:
    path = AUTHORITY / "ca.key"
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CommandError(f"{path} is {type(key).__name__}; expected an ECDSA key")
    return key


def _load(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as problem:
        raise CommandError(f"{LEAF} or the authority's is no certificate ({problem})") from None


def _has_issued(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _take_up(*, always: bool) -> bool:
    """Have nginx serve the certificate that is in place; return whether it did not yet."""
    state = try_run(["docker", "inspect", "--format", "{{.State.Running}}", nginx.CONTAINER])
    if state.stdout.strip() != "true":
        return False
    wanted = installed().public_bytes(Encoding.DER)
    if not always and _served() == wanted:
        return False
    nginx.reload()
    say("nginx uses what is in place")
    return True


def _served() -> bytes | None:
    """Return the certificate that clients get, or None when there is no answer."""
    port = run(["docker", "port", nginx.CONTAINER, "8443/tcp"]).split()[0].rpartition(":")[2]
    # Whoever signed it: this looks at the certificate, and trusts it with nothing.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", int(port)), SECONDS) as plain,
            context.wrap_socket(plain) as secured,
        ):
            return secured.getpeercert(binary_form=True)
    except OSError:
        return None

"""The certificate that the user brought: found, checked, and told whether browsers trust it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

CERTIFICATE, KEY = "fullchain.pem", "privkey.pem"


class OwnCertificateError(Exception):
    """What the user brought cannot be used; says why, and what is expected."""


def read_own(folder: Path) -> tuple[bytes, bytes] | None:
    """Return the chain and the key in the folder, or None when neither is there.

    Raises:
        OwnCertificateError: one is missing or unreadable, they do not match, or it has expired.
    """
    present = [name for name in (CERTIFICATE, KEY) if (folder / name).exists()]
    if not present:
        return None
    expected = f"expected {CERTIFICATE} (the leaf first) and {KEY} beside each other"
    if len(present) == 1:
        raise OwnCertificateError(f"your own certificate has only {present[0]}; {expected}")
    try:
        certificate, key = (folder / CERTIFICATE).read_bytes(), (folder / KEY).read_bytes()
        leaf = x509.load_pem_x509_certificate(certificate)
        private_key = load_pem_private_key(key, None)
    except OSError as error:
        raise OwnCertificateError(
            f"your own certificate cannot be read ({error}); give user 10001 the right to read it"
        ) from None
    except (ValueError, TypeError) as error:
        raise OwnCertificateError(
            f"your own certificate is not PEM, or its key has a password ({error}); {expected}"
        ) from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != private_key.public_key().public_bytes(*form):
        raise OwnCertificateError(f"{KEY} is not the key of {CERTIFICATE}; {expected}")
    if leaf.not_valid_after_utc < datetime.now(UTC):
        raise OwnCertificateError(
            f"{CERTIFICATE} ended on {leaf.not_valid_after_utc:%Y-%m-%d}; renew it, or remove it"
        )
    return certificate, key


def is_trusted(chain: bytes) -> bool:
    """Return whether the public authorities that this image knows stand behind the chain."""
    roots = ssl.get_default_verify_paths().cafile
    if roots is None:
        return False
    leaf, *intermediates = x509.load_pem_x509_certificates(chain)
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        store = Store(x509.load_pem_x509_certificates(Path(roots).read_bytes()))
        subject = next(iter(names))
        if isinstance(subject, x509.DNSName):
            subject = x509.DNSName(subject.value.replace("*", "any", 1))
        elif not isinstance(subject, x509.IPAddress):
            return False
        PolicyBuilder().store(store).build_server_verifier(subject).verify(leaf, intermediates)
    except (VerificationError, x509.ExtensionNotFound, StopIteration, ValueError):
        return False
    return True

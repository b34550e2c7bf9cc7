"""The host's own authority, and the certificate that it issues for nginx."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from order_service.certificates import authority
from order_service.certificates.authority import Authority
from order_service.certificates.files import Files
from order_service.certificates.pair import CertificateError

RENEW_WITH_LEFT = 1 / 3
# A certificate of an authority that ends sooner would help nobody.
AUTHORITY_DAYS_LEFT = 30


def issue(files: Files, nginx: Path, folder: Path, names: Sequence[str]) -> str:
    """Keep nginx's certificate right; return for people what was done.

    Args:
        files: puts them in place.
        nginx: its folder.
        folder: the authority's.
        names: what the certificate is to be good for.

    Raises:
        CertificateError: it cannot be issued.
    """
    issuer = _authority(files, folder)
    certificate_file, key_file = nginx / "tls.crt", nginx / "tls.key"
    key = authority.read_key(_read(key_file))
    leaf = authority.read_certificate(_read(certificate_file))
    names = list(dict.fromkeys(map(authority.normal, names)))
    reason = _reason(issuer, leaf, key, names)
    if leaf is None or reason:
        end = authority.end_of(issuer.certificate)
        if end - datetime.now(UTC) < timedelta(days=AUTHORITY_DAYS_LEFT):
            raise CertificateError(
                f"the authority itself ends on {end:%Y-%m-%d}; remove {folder}, have a"
                " new one made, and give clients the new ca.crt"
            )
        try:
            certificate_pem, key_pem = issuer.issue(names, key=key)
        except ValueError as problem:
            raise CertificateError(f"{problem}; expected host names or IP addresses") from None
        text = f"issued for {', '.join(names)}, since {reason}"
    else:
        certificate_pem, key_pem = _read(certificate_file), _read(key_file)
        text = f"the private authority's, valid until {authority.end_of(leaf):%Y-%m-%d}"
    files.put_key(key_file, key_pem)
    files.put(certificate_file, certificate_pem)
    files.put(nginx / "ca.crt", issuer.certificate_pem)
    return text


def _authority(files: Files, folder: Path) -> Authority:
    """Return the authority: of the key that is there, or a new one."""
    files.folder(folder, 0o700)
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
    files.put(key_file, key_pem or issuer.key_pem, 0o600)
    files.put(certificate_file, issuer.certificate_pem)
    return issuer


def _reason(
    issuer: Authority,
    leaf: x509.Certificate | None,
    key: ec.EllipticCurvePrivateKey | None,
    names: list[str],
) -> str:
    """Say why nginx needs a new leaf; nothing where it does not."""
    if key is None or leaf is None:
        return "there is no key of this kind" if key is None else "there is no certificate"
    if leaf.public_key() != key.public_key():
        return "the former one is for another key"
    if not issuer.has_issued(leaf):
        return "the former one is another issuer's"
    if authority.names_of(leaf) != set(names):
        return "the names have changed"
    if authority.share_left(leaf) < RENEW_WITH_LEFT:
        return f"the former one ends on {authority.end_of(leaf):%Y-%m-%d}"
    return ""


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""

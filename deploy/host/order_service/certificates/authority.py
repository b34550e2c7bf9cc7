"""A private certificate authority: ECDSA P-256, made and read with the cryptography library.

The stack's image has the library, and so has a host: its own, of version 41 or later.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
LEAF_DAYS = 365
# X.509 allows no longer ones; the names that count are in the extension.
COMMON_NAME_LENGTH = 64
# Clocks differ: a certificate made this moment must be valid on a host that is behind.
BACKDATED = timedelta(hours=1)
_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_HOST_NAME = re.compile(rf"(\*\.)?({_LABEL}\.)*{_LABEL}", re.IGNORECASE)


class CertificateError(Exception):
    """A certificate cannot be used or had; says why, and what is expected."""


@dataclass(frozen=True)
class Authority:
    """The authority's certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate, which clients verify with."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key."""
        return _key_pem(self.key)

    def has_issued(self, leaf: x509.Certificate) -> bool:
        """Return whether the leaf carries this authority's signature."""
        try:
            leaf.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def issue(
        self,
        names: Sequence[str],
        days: int = LEAF_DAYS,
        key: ec.EllipticCurvePrivateKey | None = None,
        age: timedelta = BACKDATED,
        *,
        mutual: bool = False,
    ) -> tuple[bytes, bytes]:
        """Return a new certificate and its key.

        Args:
            names: host names and addresses; the first is the certificate's common name.
            days: for how long it is valid.
            key: a new one is made where there is none.
            age: since when it is valid.
            mutual: whether its owner proves itself by it where it is the client, too, as the
                members of a MySQL group do to one another.

        Raises:
            CertificateError: a name is neither a host name nor an IP address.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        common_name = x509.NameAttribute(NameOID.COMMON_NAME, names[0][:COMMON_NAME_LENGTH])
        subject = x509.Name([common_name])
        uses = [ExtendedKeyUsageOID.SERVER_AUTH]
        uses += [ExtendedKeyUsageOID.CLIENT_AUTH] if mutual else []
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        leaf = (
            _builder(subject, self.certificate.subject, key, days, age)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(_usage("digital_signature"), critical=True)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return leaf.public_bytes(Encoding.PEM), _key_pem(key)


def make(key: ec.EllipticCurvePrivateKey | None = None) -> Authority:
    """Make a new authority: of the given key, or of a new one."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Order service's own authority")])
    certificate = (
        _builder(name, name, key, AUTHORITY_DAYS, BACKDATED)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def read_key(pem: bytes) -> ec.EllipticCurvePrivateKey | None:
    """Return a key of the kind that authorities and their leaves have; None for any other."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    return None


def read_certificate(pem: bytes) -> x509.Certificate | None:
    """Return the first certificate; None where there is none."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None


def names_of(leaf: x509.Certificate) -> set[str]:
    """Return the host names and addresses that a certificate is good for."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value).lower() for name in names}


def check(names: Iterable[str], setting: str, *, acme: bool = False) -> None:
    """Refuse what no certificate can be for, or none that an ACME authority issues over HTTP.

    Raises:
        CertificateError: one of them is neither a host name nor an IP address.
    """
    wrong = [name for name in names if not is_allowed(name) or (acme and "*" in name)]
    if wrong:
        expected = "orders.example.com" if acme else "orders.example.com, *.example.com"
        raise CertificateError(
            f"{setting}: {', '.join(wrong)} is not allowed; expected host names ({expected}) and"
            f" {'public ' if acme else ''}IP addresses"
        )


def is_allowed(name: str) -> bool:
    """Return whether this is a host name or an IP address."""
    return is_address(name) or _HOST_NAME.fullmatch(name) is not None


def normal(name: str) -> str:
    """Return a name as certificates have it; an address has many spellings."""
    return str(ipaddress.ip_address(name)) if is_address(name) else name.lower()


def is_address(name: str) -> bool:
    """Return whether this is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def start_of(certificate: x509.Certificate) -> datetime:
    """Return from when the certificate is valid."""
    return _moment(certificate, "not_valid_before")


def end_of(certificate: x509.Certificate) -> datetime:
    """Return when the certificate ends."""
    return _moment(certificate, "not_valid_after")


def share_left(certificate: x509.Certificate) -> float:
    """Return the share of its lifetime that a certificate has before it; below 0 after its end."""
    lifetime = end_of(certificate) - start_of(certificate)
    return (end_of(certificate) - datetime.now(UTC)) / max(lifetime, timedelta(seconds=1))


def _moment(certificate: x509.Certificate, name: str) -> datetime:
    # Of version 41 without a zone, and in UTC as well.
    found: datetime = getattr(certificate, f"{name}_utc", None) or getattr(certificate, name)
    return found.replace(tzinfo=UTC)


def _general_name(name: str) -> x509.GeneralName:
    if not is_allowed(name):
        raise CertificateError(f"no certificate can be for {name!r}")
    return x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    days: int,
    age: timedelta,
) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - age
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*wanted: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in wanted for name in _USES})


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

"""A certificate of another issuer and its key: read, checked, and looked at as a client does."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from order_service.certificates.authority import (
    CertificateError,
    end_of,
    names_of,
    normal,
    start_of,
)


@dataclass(frozen=True)
class Pair:
    """A chain of certificates, the leaf first, and the leaf's key; with where they were read."""

    chain_file: Path
    key_file: Path
    chain_pem: bytes
    key_pem: bytes
    chain: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that clients check."""
        return self.chain[0]

    def check(self, names: Sequence[str] = ()) -> None:
        """Refuse what clients would.

        Args:
            names: what it has to be good for.

        Raises:
            CertificateError: the order is wrong, one is not valid now, or a name is not covered.
        """
        for one, issuer in pairwise(self.chain):
            if one.issuer != issuer.subject:
                raise CertificateError(
                    f"{self.chain_file}: {_called(one.subject)} is issued by {_called(one.issuer)},"
                    f" and followed by {_called(issuer.subject)}; expected yours first, and behind"
                    " each its issuer's"
                )
        for one in self.chain:
            if not start_of(one) <= datetime.now(UTC) < end_of(one):
                raise CertificateError(
                    f"{self.chain_file}: {_called(one.subject)} is valid from"
                    f" {start_of(one):%Y-%m-%d} to {end_of(one):%Y-%m-%d} only; expected one that"
                    " is valid today. Renew it, or leave it out."
                )
        covered = names_of(self.leaf)
        uncovered = [name for name in names if not _covers(covered, normal(name))]
        if uncovered:
            raise CertificateError(
                f"{self.chain_file} is good for {', '.join(sorted(covered))}, but not for"
                f" {', '.join(uncovered)}; expected one for all names"
            )

    def is_trusted(self) -> bool:
        """Return whether a client accepts it that knows the public authorities, and no other."""
        names = sorted(names_of(self.leaf))
        if not names:
            return False
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        # As in Python before 3.13: browsers know roots that it refuses.
        client.verify_flags &= ~ssl.VERIFY_X509_STRICT
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        asking = client.wrap_bio(back, there, server_hostname=names[0].replace("*", "any", 1))
        try:
            server.load_cert_chain(self.chain_file, self.key_file)
            ends = (asking, server.wrap_bio(there, back, server_side=True))
            for end in (*ends, *ends, *ends):
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        except ssl.SSLError:
            return False
        return bool(asking.getpeercert())


def read(chain_file: Path, key_file: Path) -> Pair:
    """Return the chain and the key of two PEM files.

    Raises:
        CertificateError: one is missing or no PEM file, or they do not belong together.
    """
    chain_pem, key_pem = _content(chain_file), _content(key_file)
    try:
        chain = tuple(x509.load_pem_x509_certificates(chain_pem))
    except ValueError:
        raise CertificateError(
            f"{chain_file} is not a chain of PEM certificates; expected yours first, and its"
            " issuer's behind it"
        ) from None
    try:
        key = load_pem_private_key(key_pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateError(
            f"{key_file} is not a PEM key, or has a pass phrase; expected one without"
            f" (openssl pkey -in {key_file} -out plain.pem)"
        ) from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if chain[0].public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise CertificateError(
            f"{key_file} is not the key of the first certificate in {chain_file},"
            f" {_called(chain[0].subject)}; expected yours first, and its own key"
        )
    return Pair(chain_file, key_file, chain_pem, key_pem, chain)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CertificateError(
            f"there is no file {path}; expected a certificate and its key, two PEM files"
        ) from None
    except OSError as problem:
        raise CertificateError(
            f"{path} cannot be read ({problem.strerror}); user {os.geteuid()} has to be allowed to"
        ) from None


def _called(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else "one without a name"


def _covers(covered: set[str], name: str) -> bool:
    """Return whether a name is among those; a wildcard stands for one label."""
    return name in covered or f"*.{name.partition('.')[2]}" in covered

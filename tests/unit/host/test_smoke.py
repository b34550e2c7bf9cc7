"""The client that looks at the service through nginx: which certificate it takes."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import authority
import pytest
import smoke
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from host import CommandError

from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost


def bare() -> tuple[bytes, bytes]:
    """Return a certificate without what RFC 5280 wants: a company's, say; and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "orders.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A company")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), pem


@pytest.fixture
def on(root: Path, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """A host with such a certificate."""
    deployed = FakeHost(root, docker, bare())
    with deployed.serving(monkeypatch):
        yield deployed


def test_a_private_authority_need_not_be_strict(
    on: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 is, by default."""
    default = ssl.create_default_context

    def strict(cafile: str) -> ssl.SSLContext:
        context = default(cafile=cafile)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    assert on.serves()[0] == "old"


def test_another_certificate_than_the_deployed_one_is_refused(on: FakeHost) -> None:
    other, _ = authority.make().issue(["orders.example"])
    (on.root / "certificates" / "tls.crt").write_bytes(other)
    with pytest.raises(CommandError, match="CERTIFICATE_VERIFY_FAILED"):
        on.serves()


def test_no_answer_is_told_with_what_was_asked(on: FakeHost, docker: FakeDocker) -> None:
    docker.containers.clear()
    client = smoke.Client(on.addresses["blue"], on.port, "admin", "secret")
    with pytest.raises(CommandError, match=rf"GET /ping on port {on.port}: RemoteDisconnected"):
        client.ask("GET", "/ping")

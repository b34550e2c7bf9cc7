"""The client that looks at the service through nginx: which certificate it takes."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from order_service.certificates import authority
from order_service.host import CommandError
from order_service.release import smoke

from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def company() -> tuple[bytes, bytes]:
    """Return a chain whose authority lacks what RFC 5280 wants of one, and the leaf's key."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    now = datetime.now(UTC)
    chain = b""
    for subject, key in zip(("orders.example", "A company"), keys, strict=True):
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("A company"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(key is keys[1], None), critical=True)
            .sign(keys[1], hashes.SHA256())
        )
        chain += certificate.public_bytes(Encoding.PEM)
    pem = keys[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return chain, pem


@pytest.fixture
def on(root: Path, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """A host with a certificate of a company's own."""
    deployed = FakeHost(root, docker, company())
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

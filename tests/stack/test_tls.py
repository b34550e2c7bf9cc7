"""TLS as Mozilla's guideline says ("intermediate", version 6.0), and the certificate itself."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.ports import HOST
from tests.support.stack import Stack, StackClient

# The guideline's for TLS 1.2, as far as they go with the certificate's key.
RECOMMENDED = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
}


def handshake(
    stack: Stack, version: ssl.TLSVersion, *ciphers: str, name: str = "localhost"
) -> tuple[str | None, str]:
    """Return the version and the cipher that a client agrees on with nginx."""
    context = client_context(stack, *ciphers)
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection((HOST, stack.https_port), 10)
    with plain, context.wrap_socket(plain, server_hostname=name) as secured:
        chosen = secured.cipher()
        assert chosen
        return secured.version(), chosen[0]


def client_context(stack: Stack, *ciphers: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(stack.ca))
    # Debian's own policy forbids the client what the server is to refuse.
    context.set_ciphers(":".join([*(ciphers or ["ALL"]), "@SECLEVEL=0"]))
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_versions_are_spoken(stack: Stack, version: ssl.TLSVersion) -> None:
    assert handshake(stack, version)[0] == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(stack: Stack, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        handshake(stack, version)


@pytest.mark.parametrize("cipher", sorted(RECOMMENDED))
def test_recommended_ciphers_are_accepted(stack: Stack, cipher: str) -> None:
    assert handshake(stack, ssl.TLSVersion.TLSv1_2, cipher)[1] == cipher


def test_all_other_ciphers_are_refused(stack: Stack) -> None:
    known = client_context(stack).get_ciphers()
    others = {one["name"] for one in known if one["protocol"] != "TLSv1.3"} - RECOMMENDED
    # This key could do it, and no guideline recommends it.
    assert "ECDHE-ECDSA-AES128-SHA" in others
    with pytest.raises(ssl.SSLError, match=r"(?i)alert handshake failure"):
        handshake(stack, ssl.TLSVersion.TLSv1_2, *sorted(others))


def agree_on(stack: Stack, groups: str) -> str:
    """Return what nginx's own OpenSSL says: the machine's may be too old for the newest group."""
    script = (
        f"echo | openssl s_client -connect 127.0.0.1:8443 -tls1_3 -groups {groups}"
        " -CAfile /etc/nginx/certificates/ca.crt -verify_return_error 2>&1"
    )
    return stack.shell("nginx", script).stdout


def test_the_post_quantum_group_is_agreed_on_and_one_that_is_not_recommended_is_refused(
    stack: Stack,
) -> None:
    answer = agree_on(stack, "X25519MLKEM768:X25519")
    assert "Negotiated TLS1.3 group: X25519MLKEM768" in answer, answer
    assert "Verify return code: 0 (ok)" in answer
    assert "alert handshake failure" in agree_on(stack, "P-521")


def test_the_certificate_is_good_for_this_host_and_not_for_long(stack: Stack) -> None:
    for name in ("localhost", "127.0.0.1"):
        assert handshake(stack, ssl.TLSVersion.TLSv1_3, name=name)[0] == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(stack, ssl.TLSVersion.TLSv1_3, name="other.example")
    pem = stack.compose("exec", "-T", "nginx", "cat", "/etc/nginx/certificates/tls.crt")
    leaf = x509.load_pem_x509_certificate(pem.encode())
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=366)
    assert leaf.not_valid_after_utc > datetime.now(UTC) + timedelta(days=300)


def test_headers_protect_without_promising_too_much(client: StackClient) -> None:
    headers = client.get("/ping").headers
    assert headers["Server"] == "nginx"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    # A browser that has been told would refuse the generated certificate for good.
    assert "Strict-Transport-Security" not in headers

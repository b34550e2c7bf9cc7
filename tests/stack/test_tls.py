"""TLS as Mozilla's guideline says, judged by a scanner, and the certificate itself."""

from __future__ import annotations

import socket
import ssl
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.service_process import BIN
from tests.support.stack import Stack, StackClient

SCANNERS = BIN.parent / "scan" / "bin"


def handshake(stack: Stack, version: ssl.TLSVersion, server_name: str = "localhost") -> str | None:
    context = ssl.create_default_context(cafile=str(stack.ca))
    # Debian's own policy forbids the client what the server is to refuse.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", stack.https_port), 10)
    with plain, context.wrap_socket(plain, server_hostname=server_name) as secured:
        return secured.version()


def leaf_of(stack: Stack) -> x509.Certificate:
    pem = stack.compose("exec", "-T", "nginx", "cat", "/etc/nginx/certificates/tls.crt")
    return x509.load_pem_x509_certificate(pem.encode())


def test_the_scanner_finds_mozillas_intermediate_profile(stack: Stack) -> None:
    target = f"127.0.0.1:{stack.https_port}"
    run = subprocess.run(
        [
            SCANNERS / "sslyze",
            "--mozilla_config=intermediate",
            f"--certinfo_ca_file={stack.ca}",
            target,
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert "OK - Compliant" in run.stdout, run.stdout[-3000:] + run.stderr
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_versions_are_spoken(stack: Stack, version: ssl.TLSVersion) -> None:
    assert handshake(stack, version) == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(stack: Stack, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        handshake(stack, version)


def test_the_post_quantum_group_is_preferred(stack: Stack) -> None:
    # The machine's OpenSSL may be too old to offer it; nginx's own is not.
    script = (
        "echo | openssl s_client -connect 127.0.0.1:8443 -groups X25519MLKEM768:X25519"
        " -CAfile /etc/nginx/certificates/ca.crt -verify_return_error 2>&1"
    )
    answer = stack.shell("nginx", script).stdout
    assert "X25519MLKEM768" in answer, answer
    assert "Verify return code: 0 (ok)" in answer


def test_the_certificate_is_good_for_this_host_and_not_for_long(stack: Stack) -> None:
    for name in ("localhost", "127.0.0.1"):
        assert handshake(stack, ssl.TLSVersion.TLSv1_3, name) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(stack, ssl.TLSVersion.TLSv1_3, "other.example")
    leaf = leaf_of(stack)
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

"""What can be set: where the stack is bound, certificates, plain HTTP, limits and workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import authority
import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.service_process import AUTHORIZATION
from tests.support.stack import Stack, StackClient, running_stack

CERTIFICATE = "/etc/nginx/certificates/tls.crt"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {
        "COMPOSE_PROFILES": "worker",
        "PLAIN_HTTP": "serve",
        "TLS_NAMES": "orders.example, 127.0.0.2",
        "LIMIT_REQUESTS_PER_SECOND": "20",
        "LIMIT_FAILED_LOGINS": "5",
    }
    with running_stack(tmp_path_factory.mktemp("checkout"), **settings) as started:
        yield started


def own_certificate(folder: Path, *, days: int = 60) -> x509.Certificate:
    """Bring a certificate as a user does."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "brought.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=400))
        .not_valid_after(datetime.now(UTC) + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    folder.mkdir(exist_ok=True)
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate


def certificate_of(stack: Stack) -> x509.Certificate:
    pem = stack.compose("exec", "-T", "nginx", "cat", CERTIFICATE)
    return x509.load_pem_x509_certificate(pem.encode())


def run_certificates(stack: Stack, *arguments: str) -> str:
    run = stack.try_compose("run", "--rm", "--no-deps", "-T", *arguments, "certificates")
    return run.stdout + run.stderr


def test_workers_process_and_the_web_does_not(stack: Stack) -> None:
    assert stack.client().post(order_body(1)).status == 201
    wait_until(
        lambda: stack.client().get("/orders/1").json()["status"] == "Completed", 20, "completion"
    )
    assert "processor started" in stack.logs("worker")
    assert "processor started" not in stack.logs("app")


def test_plain_http_serves_everything(stack: Stack) -> None:
    plain = urllib3.HTTPConnectionPool("127.0.0.1", stack.http_port, retries=False, timeout=10)
    answer = plain.request("POST", "/orders", json=order_body(2), headers=AUTHORIZATION)
    assert (answer.status, answer.json()["order_id"]) == (201, 2)
    assert plain.request("GET", "/healthz").status == 404


def test_the_certificate_has_the_names(stack: Stack) -> None:
    names = certificate_of(stack).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {str(name.value) for name in names.value} == {
        "localhost", "127.0.0.1", "::1", "orders.example", "127.0.0.2",
    }  # fmt: skip


def test_too_many_requests_are_429_in_json(stack: Stack) -> None:
    client = stack.client()
    answers = [client.get("/ping") for _ in range(120)]
    refused = [answer for answer in answers if answer.status != 200]
    assert refused
    assert {(one.status, one.headers["Retry-After"]) for one in refused} == {(429, "1")}
    assert list(refused[0].json()) == ["error"]


def test_wrong_credentials_are_limited_harder(stack: Stack) -> None:
    time.sleep(1)  # what the requests before have used up of the rate
    wrong = urllib3.make_headers(basic_auth="admin:wrong")
    client = stack.client()
    assert [client.get("/orders/1", **wrong).status for _ in range(7)] == [401] * 5 + [429] * 2
    # Else a guess that is right would stand out.
    assert client.get("/orders/1").status == 429
    stack.compose("restart", "nginx")  # which forgets, for the tests that follow
    stack.wait_healthy("nginx")


def test_a_leaf_is_renewed_in_time_and_not_before(stack: Stack) -> None:
    before = certificate_of(stack)
    assert "issued" not in run_certificates(stack)
    assert certificate_of(stack) == before
    ageing = (
        "import sys; sys.path.insert(0, 'deploy')\n"
        "import authority, make_certificates as m\n"
        "authority.LEAF_DAYS = 29\n"
        "leaf, key = m.load_authority().issue(m.wanted_names())\n"
        "m.write(m.CERTIFICATES / 'tls.key', key, 0o640)\n"
        "m.write(m.CERTIFICATES / 'tls.crt', leaf, 0o644)\n"
    )
    stack.compose("run", "--rm", "--no-deps", "-T", "certificates", "python", "-c", ageing)
    old = certificate_of(stack)
    assert "since the former one ends on" in run_certificates(stack)
    new = certificate_of(stack)
    assert new.not_valid_after_utc - old.not_valid_after_utc > timedelta(days=300)
    assert new.issuer == old.issuer


def test_a_brought_certificate_is_used_and_never_overwritten(stack: Stack) -> None:
    folder = stack.checkout / "deploy" / "certs" / "own"
    brought = own_certificate(folder)
    assert "your own, valid until" in run_certificates(stack)
    assert certificate_of(stack) == brought
    kept = (folder / "fullchain.pem").read_bytes()
    run_certificates(stack)
    assert certificate_of(stack) == brought
    assert (folder / "fullchain.pem").read_bytes() == kept

    own_certificate(folder, days=-1)
    assert "fullchain.pem ended on" in run_certificates(stack)
    (folder / "privkey.pem").unlink()
    assert "has only fullchain.pem; expected" in run_certificates(stack)
    assert certificate_of(stack) == brought


def test_hsts_comes_with_a_certificate_that_is_trusted(stack: Stack) -> None:
    own_certificate(stack.checkout / "deploy" / "certs" / "own")
    assert "without HSTS" in run_certificates(stack)

    folder = stack.checkout / "deploy" / "certs" / "own"
    made = authority.make()
    chain, key = made.issue(["localhost"])
    (folder / "fullchain.pem").write_bytes(chain)
    (folder / "privkey.pem").write_bytes(key)
    roots = folder / "roots.pem"
    roots.write_bytes(made.certificate_pem)
    assert "with HSTS" in run_certificates(stack, "-e", "SSL_CERT_FILE=/run/own/roots.pem")
    stack.compose("kill", "--signal", "HUP", "nginx")

    def strict() -> str | None:
        # A reload takes a moment, and each look is a new connection.
        try:
            answer = StackClient(stack.https_port, roots).get("/ping")
        except urllib3.exceptions.SSLError:
            return None
        return answer.headers.get("Strict-Transport-Security")

    assert wait_until(strict, 20, "HSTS", every=0.5) == "max-age=63072000"


def test_another_address_ends_the_development_password(stack: Stack) -> None:
    def told(address: str) -> str:
        given = ("-e", f"BIND_ADDRESS={address}")
        run = stack.try_compose("run", "--rm", "--no-deps", "-T", *given, "secrets")
        return run.stdout + run.stderr

    assert stack.secret("app", "auth_password") == "securepassword"
    assert "docker compose exec app cat /run/secrets/auth_password" in told("0.0.0.0")  # noqa: S104
    password = stack.secret("app", "auth_password")
    assert len(password) >= 32
    assert stack.secret("app", "app_env") == "production"
    assert password not in told("0.0.0.0")  # noqa: S104
    told("127.0.0.1")
    assert stack.secret("app", "auth_password") == password
    assert "BIND_ADDRESS: 'here' is not allowed; expected" in told("here")

"""The certificate that clients get: the host's own authority's, renewed in time, or the user's."""

from __future__ import annotations

import shlex
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import authority
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.control_node import PlaybookRun
from tests.support.deployment import PROGRAM, ROOT, Deployment
from tests.support.polling import wait_until
from tests.support.stack import StackClient
from tests.support.traffic import Traffic

FOLDER = f"{ROOT}/certificates"
SERVICE = "order-service-certificate.service"
TRUSTED = "/usr/local/share/ca-certificates/deploy-test.crt"


def served(deployment: Deployment) -> x509.Certificate:
    """Return the certificate that a new connection gets."""
    pem = ssl.get_server_certificate((deployment.host, 443), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode())


def names_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def key_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def days_left(certificate: x509.Certificate) -> float:
    return (certificate.not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)


def deploy_certificate(deployment: Deployment, **variables: Any) -> PlaybookRun:
    return deployment.deploy("--tags", "certificates", **variables)


def age(deployment: Deployment, days: int) -> x509.Certificate:
    """Have nginx serve the same certificate with so many days left."""
    script = (
        f"import sys; sys.path.insert(0, '{PROGRAM}')\n"
        "from order_service.certificates import renew as r\n"
        f"r.DAYS = {days}\n"
        "aged = r.reissue(r.installed(), r._authority(), r._authority_key())\n"
        "r.write_text(r.LEAF, aged.public_bytes(r.Encoding.PEM).decode()); r.nginx.reload()\n"
    )
    deployment.remote.sudo(f"python3 -B -c {shlex.quote(script)}")
    aged = served(deployment)
    assert days_left(aged) < days
    return aged


def test_it_is_good_for_the_hosts_names_and_no_client_needs_to_look_away(
    deployment: Deployment,
) -> None:
    leaf = served(deployment)
    assert {deployment.host, deployment.remote.name, "localhost", "127.0.0.1"} <= names_of(leaf)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc < timedelta(days=366)
    assert leaf.not_valid_before_utc < datetime.now(UTC) - timedelta(minutes=30)
    issuer = x509.load_pem_x509_certificate(deployment.ca.read_bytes())
    leaf.verify_directly_issued_by(issuer)
    constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (
        True, True, 0,
    )  # fmt: skip
    answer = deployment.client().get("/ping")
    assert answer.status == 200
    # A browser that has been told would refuse the generated certificate for good.
    assert "Strict-Transport-Security" not in answer.headers


def test_the_keys_are_readable_where_they_are_used_only(deployment: Deployment) -> None:
    form = "stat --format='%n %u %a'"
    lines = deployment.remote.sudo(f"cd {ROOT} && {form} certificates/tls.key authority").split()
    assert lines == ["certificates/tls.key", "101", "400", "authority", "0", "700"]
    form = "{{range .Mounts}}{{.Source}} {{end}}"
    mounted = deployment.remote.docker("inspect", "--format", form, *deployment.running()).split()
    assert f"{ROOT}/certificates" in mounted
    assert not any(ROOT.startswith(path) or "authority" in path for path in mounted)


def test_the_timer_renews_it_and_no_client_notices(deployment: Deployment) -> None:
    assert deployment.remote.ssh("systemctl is-enabled order-service-certificate.timer") == (
        "enabled\n"
    )
    old = age(deployment, 20)
    with Traffic(deployment.client()) as sent:
        deployment.remote.sudo(f"systemctl start {SERVICE}")
        wait_until(lambda: served(deployment) != old, 20, "the renewal")
        new = served(deployment)
        sent.flows()
    sent.assert_unharmed()
    assert days_left(new) > 360
    assert new.serial_number != old.serial_number
    assert (new.subject, new.issuer, key_of(new)) == (old.subject, old.issuer, key_of(old))
    assert {one.oid: one.value for one in new.extensions} == {
        one.oid: one.value for one in old.extensions
    }
    deployment.remote.sudo(f"systemctl start {SERVICE}")
    assert served(deployment) == new


def test_the_next_run_renews_it_and_the_one_after_changes_nothing(deployment: Deployment) -> None:
    old = age(deployment, 29)
    assert deploy_certificate(deployment).recap.changed > 0
    new = served(deployment)
    assert days_left(new) > 360
    assert names_of(new) == names_of(old)
    assert deploy_certificate(deployment).recap.changed == 0
    assert served(deployment) == new


def test_a_reload_that_was_cut_off_is_made_up_for(deployment: Deployment) -> None:
    before = served(deployment)
    script = (
        f"import sys; sys.path.insert(0, '{PROGRAM}')\n"
        "from order_service.certificates import renew as r\n"
        "new = r.reissue(r.installed(), r._authority(), r._authority_key())\n"
        "r.write_text(r.LEAF, new.public_bytes(r.Encoding.PEM).decode())\n"
    )
    deployment.remote.sudo(f"python3 -B -c {shlex.quote(script)}")
    assert served(deployment) == before
    deploy_certificate(deployment)
    assert served(deployment) != before


def write_own(folder: Path, issuer: Any, names: list[str]) -> dict[str, str]:
    """Bring a certificate as a user does; return the settings that name its files."""
    chain, key = issuer.issue(names)
    (folder / "chain.pem").write_bytes(chain + issuer.certificate_pem)
    (folder / "key.pem").write_bytes(key)
    (folder / "roots.pem").write_bytes(issuer.certificate_pem)
    return {
        "tls_certificate": str(folder / "chain.pem"),
        "tls_private_key": str(folder / "key.pem"),
    }


def test_the_users_own_takes_its_place_and_gives_it_back(
    deployment: Deployment, tmp_path: Path
) -> None:
    remote = deployment.remote
    own = write_own(tmp_path, authority.make(), ["orders.example.com", deployment.host])
    issued, fetched = served(deployment), deployment.ca.read_bytes()
    deploy_certificate(deployment, **own)
    brought = served(deployment)
    assert brought == x509.load_pem_x509_certificate((tmp_path / "chain.pem").read_bytes())
    assert not deployment.ca.exists()
    client = StackClient(443, tmp_path / "roots.pem", deployment.host)
    assert "Strict-Transport-Security" not in client.get("/ping").headers
    assert "not renewed" in remote.sudo(f"{PROGRAM} certificate")
    try:
        remote.sudo(f"echo {shlex.quote((tmp_path / 'roots.pem').read_text())} >{TRUSTED}")
        remote.sudo("update-ca-certificates")
        deploy_certificate(deployment, **own)
        strict = client.get("/ping").headers["Strict-Transport-Security"]
        assert strict == "max-age=63072000"
    finally:
        remote.sudo(f"rm -f {TRUSTED} && update-ca-certificates --fresh")
    deploy_certificate(deployment)
    again = served(deployment)
    assert again.issuer == issued.issuer
    # Clients that have the authority's certificate go on with it.
    assert deployment.ca.read_bytes() == fetched
    answer = deployment.client().get("/ping")
    assert "Strict-Transport-Security" not in answer.headers

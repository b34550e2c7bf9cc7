"""The certificate that clients of a deployed host get: renewed, changed and kept without a failed
request."""

from __future__ import annotations

import shlex
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from order_service.certificates import authority

from tests.support.acme_authority import AcmeAuthority
from tests.support.control_node import PlaybookRun
from tests.support.deployment import PROGRAM, ROOT, Deployment
from tests.support.docker import docker
from tests.support.polling import wait_until
from tests.support.stack import StackClient
from tests.support.traffic import Traffic

SERVICE = "order-service-certificate.service"
TRUSTED = "/usr/local/share/ca-certificates/deploy-test.crt"
NAME = "orders.example.test"
# Makes the certificate that is in place so old; nginx goes on with what it has read.
AGE = f"""
import sys
from datetime import timedelta
sys.path.insert(0, "{PROGRAM}")
from order_service.certificates import authority as a, renew as r
key = a.read_key((r.CERTIFICATES / "tls.key").read_bytes())
ca = a.read_certificate((r.AUTHORITY / "ca.crt").read_bytes())
issuer = a.Authority(ca, a.read_key((r.AUTHORITY / "ca.key").read_bytes()))
names = sorted(a.names_of(r.installed()))
r.LEAF.write_bytes(issuer.issue(names, key=key, age=timedelta(days=int(sys.argv[1])))[0])
"""


def served(deployment: Deployment) -> x509.Certificate:
    """Return the certificate that a new connection gets."""
    pem = ssl.get_server_certificate((deployment.host, 443), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode())


def days_left(certificate: x509.Certificate) -> float:
    return (certificate.not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)


def deploy_certificate(deployment: Deployment, **variables: Any) -> PlaybookRun:
    return deployment.deploy("--tags", "certificates", **variables)


def age(deployment: Deployment, days: int) -> None:
    deployment.remote.sudo(f"python3 -B -c {shlex.quote(AGE)} {days}")


def renew(deployment: Deployment) -> str:
    """Run the timer's unit; return what it said where it failed, and nothing where it did not."""
    if deployment.remote.try_ssh(f"sudo systemctl start {SERVICE}").returncode == 0:
        return ""
    return deployment.remote.sudo(f"journalctl --unit {SERVICE} --lines 20 --output cat")


def trust(deployment: Deployment, *pems: bytes) -> None:
    """Have the host trust these authorities as public ones; without any, none of them."""
    text = b"".join(pems).decode()
    deployment.remote.sudo(f"echo {shlex.quote(text)} >{TRUSTED}" if pems else f"rm -f {TRUSTED}")
    deployment.remote.sudo("update-ca-certificates --fresh >/dev/null 2>&1")


def test_it_is_good_for_the_hosts_names_and_no_client_needs_to_look_away(
    deployment: Deployment,
) -> None:
    leaf = served(deployment)
    names = {deployment.host, deployment.remote.name, "localhost", "127.0.0.1"}
    assert names <= authority.names_of(leaf)
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
    form = "stat --dereference --format='%n %u %a'"
    asked = f"cd {ROOT} && {form} certificates/tls.key private authority"
    lines = deployment.remote.sudo(asked).splitlines()
    # nginx's user has a number that is somebody else's on the host.
    assert lines == ["certificates/tls.key 101 400", "private 0 700", "authority 0 700"]
    somebody = "sudo setpriv --reuid=101 --regid=101 --clear-groups"
    looked = deployment.remote.try_ssh(f"{somebody} cat {ROOT}/certificates/tls.key")
    assert "Permission denied" in looked.stderr
    form = "{{range .Mounts}}{{.Source}} {{end}}"
    mounted = deployment.remote.docker("inspect", "--format", form, *deployment.running()).split()
    assert f"{ROOT}/certificates" in mounted
    assert not any(ROOT.startswith(path) or "authority" in path for path in mounted)


def test_the_timer_renews_it_and_no_client_notices(deployment: Deployment) -> None:
    assert deployment.remote.ssh("systemctl is-enabled order-service-certificate.timer") == (
        "enabled\n"
    )
    old = served(deployment)
    age(deployment, 300)
    with Traffic(deployment.client()) as sent:
        assert renew(deployment) == ""
        wait_until(lambda: served(deployment) != old, 20, "the renewal")
        new = served(deployment)
        sent.flows()
    sent.assert_unharmed()
    assert days_left(new) > 360
    assert (new.issuer, new.public_key()) == (old.issuer, old.public_key())
    assert renew(deployment) == ""
    assert served(deployment) == new


def test_a_run_renews_it_and_the_one_after_changes_nothing(deployment: Deployment) -> None:
    old = served(deployment)
    age(deployment, 300)
    assert deploy_certificate(deployment).recap.changed > 0
    new = served(deployment)
    assert new != old
    assert days_left(new) > 360
    assert deploy_certificate(deployment).recap.changed == 0
    assert served(deployment) == new


def test_the_users_own_takes_its_place_and_gives_it_back(
    deployment: Deployment, tmp_path: Path
) -> None:
    issuer = authority.make()
    chain, key = issuer.issue(["orders.example.com", deployment.host])
    own = {"tls_certificate": tmp_path / "chain.pem", "tls_private_key": tmp_path / "key.pem"}
    own["tls_certificate"].write_bytes(chain + issuer.certificate_pem)
    own["tls_private_key"].write_bytes(key)
    (tmp_path / "roots.pem").write_bytes(issuer.certificate_pem)
    settings = {name: str(path) for name, path in own.items()}
    issued, fetched = served(deployment), deployment.ca.read_bytes()
    deploy_certificate(deployment, **settings)
    assert served(deployment) == x509.load_pem_x509_certificate(chain)
    assert not deployment.ca.exists()

    def headers() -> Mapping[str, str]:
        """Return those of an answer on a new connection: a kept one is a former worker's."""
        client = StackClient(443, tmp_path / "roots.pem", deployment.host)
        return client.get("/ping").headers

    assert "Strict-Transport-Security" not in headers()
    try:
        trust(deployment, issuer.certificate_pem)
        assert deploy_certificate(deployment, **settings).recap.changed > 0
        assert headers()["Strict-Transport-Security"] == "max-age=63072000"
    finally:
        trust(deployment)
    deploy_certificate(deployment)
    assert served(deployment).issuer == issued.issuer
    # Clients that have the authority's certificate go on with it.
    assert deployment.ca.read_bytes() == fetched
    assert "Strict-Transport-Security" not in deployment.client().get("/ping").headers


@pytest.fixture
def pebble(deployment: Deployment) -> Iterator[AcmeAuthority]:
    """An ACME authority that the host trusts, and that reaches it."""
    form = "--format={{.NetworkSettings.IPAddress}}"
    reached = docker("inspect", form, deployment.remote.name).strip()
    try:
        with AcmeAuthority("bridge", leads_to=reached, http_port=80) as started:
            trust(deployment, started.issuer.certificate_pem)
            yield started
    finally:
        trust(deployment)
        deploy_certificate(deployment)
        # The unit that failed without the authority is well again with its next run.
        assert renew(deployment) == ""


def test_an_acme_authoritys_takes_its_place_is_renewed_and_kept(
    deployment: Deployment, pebble: AcmeAuthority, tmp_path: Path
) -> None:
    remote = deployment.remote
    form = "--format={{.NetworkSettings.IPAddress}}"
    address = docker("inspect", form, remote.name).strip()
    # First the host's own, as in the beginning.
    deploy_certificate(deployment, public_names=[NAME, address])
    roots = tmp_path / "roots.pem"
    roots.write_bytes(deployment.ca.read_bytes() + pebble.root)
    settings: dict[str, Any] = {"acme_email": "me@example.com", "acme_server": pebble.url}
    with Traffic(StackClient(443, roots, address, deployment.password)) as sent:
        deploy_certificate(deployment, public_names=[NAME, address], **settings)
        first = served(deployment)
        assert "Pebble" in first.issuer.rfc4514_string()
        assert authority.names_of(first) == {NAME, address}
        assert days_left(first) < 6
        assert not deployment.ca.exists()
        sent.flows()
        pebble.advise_renewal(first)
        # certbot keeps the authority's advice for some hours.
        remote.sudo(f"sed -i /ari_retry_after/d {ROOT}/private/acme/renewal/*.conf")
        assert renew(deployment) == ""
        renewed = served(deployment)
        assert renewed != first
        assert renewed.public_key() == first.public_key()
        sent.flows()
        pebble.stop()
        # What serves is good, so no deployment has to wait for the authority.
        names = [NAME, address, "shop.example.test"]
        deploy_certificate(deployment, public_names=names, **settings)
        said = renew(deployment)
        assert "FAILED: certbot: " in said
        assert "(the next try is at " in said
        assert "What serves goes on: the ACME authority's" in said
        assert served(deployment) == renewed
        sent.flows()
    sent.assert_unharmed()

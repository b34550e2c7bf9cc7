"""A certificate of an ACME authority: issued, renewed and kept, without a failed request."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography import x509
from order_service.certificates import authority

from tests.support.acme_authority import AcmeAuthority
from tests.support.polling import wait_until
from tests.support.ports import HOST
from tests.support.stack import Stack, StackClient
from tests.support.traffic import Traffic

NAMES = ["orders.example.test", HOST]
# The authority is reached where nginx is, and known by a file.
OVERRIDE = """
services:
  acme:
    networks: [web]
    environment:
      REQUESTS_CA_BUNDLE: /run/authority.crt
    volumes: ["./authority.crt:/run/authority.crt:ro"]
"""


class Acme:
    """The stack's client of an authority that runs beside nginx."""

    def __init__(self, stack: Stack, pebble: AcmeAuthority) -> None:
        self.stack, self.pebble = stack, pebble
        self._settings = stack.settings
        self.roots = stack.checkout / "roots.pem"
        self.roots.write_bytes(stack.ca.read_bytes() + pebble.root)
        (stack.checkout / "authority.crt").write_bytes(pebble.issuer.certificate_pem)
        (stack.checkout / "acme.yml").write_text(OVERRIDE)

    def start(self) -> None:
        """Start it as the profile does, and leave the other containers as they are."""
        self.stack.settings = self._settings | {
            "COMPOSE_FILE": "docker-compose.yml:acme.yml",
            "TLS_NAMES": ",".join(NAMES),
            "ACME_SERVER": self.pebble.url,
        }
        self.stack.compose("up", "-d", "--build", "--no-deps", "--wait", "acme")

    def end(self) -> None:
        """Have the private authority's certificate again."""
        self.stack.shell("acme", "rm /volumes/acme/current")
        self.stack.try_compose("rm", "--stop", "--force", "acme")
        self.stack.settings = self._settings
        self.stack.run("certificates")
        wait_until(lambda: not self.is_issuer(), 30, "the private authority's", every=0.2)

    def served(self) -> x509.Certificate:
        """Return the certificate that a new connection gets."""
        pem = ssl.get_server_certificate((HOST, self.stack.https_port), timeout=10)
        return x509.load_pem_x509_certificate(pem.encode())

    def is_issuer(self) -> bool:
        return "Pebble" in self.served().issuer.rfc4514_string()

    def client(self) -> StackClient:
        """Return a client that verifies with both authorities, and asks for the address."""
        return StackClient(self.stack.https_port, self.roots, HOST)

    def forget_advice(self) -> None:
        """Have certbot ask anew: it keeps the authority's advice for some hours."""
        script = "sed -i /ari_retry_after/d /volumes/acme/renewal/*.conf"
        assert self.stack.shell("acme", script).returncode == 0


@pytest.fixture(scope="module")
def acme(stack: Stack) -> Iterator[Acme]:
    beside = f"container:{stack.containers('nginx')[0]}"
    with AcmeAuthority(beside, leads_to=HOST, http_port=8080, name="nginx") as pebble:
        started = Acme(stack, pebble)
        try:
            yield started
        finally:
            started.end()


def test_a_name_and_an_address_are_issued_and_no_client_notices(acme: Acme) -> None:
    with Traffic(acme.client()) as sent:
        acme.start()
        wait_until(acme.is_issuer, 30, "the authority's certificate", every=0.2)
        sent.flows()
    sent.assert_unharmed()
    issued = acme.served()
    assert authority.names_of(issued) == set(NAMES)
    # The profile that has addresses.
    lifetime = issued.not_valid_after_utc - issued.not_valid_before_utc
    assert lifetime <= timedelta(days=6)


@pytest.mark.extended
def test_the_authoritys_advice_renews_it_and_no_client_notices(acme: Acme) -> None:
    acme.start()
    wait_until(acme.is_issuer, 30, "the authority's certificate", every=0.2)
    first = acme.served()
    with Traffic(acme.client()) as sent:
        acme.pebble.advise_renewal(first)
        acme.forget_advice()
        acme.stack.compose("restart", "acme")
        wait_until(lambda: acme.served() != first, 30, "the renewal", every=0.2)
        sent.flows()
    sent.assert_unharmed()
    assert acme.served().public_key() == first.public_key()


@pytest.mark.extended
def test_an_authority_that_is_away_is_told_and_left_alone_for_a_while(acme: Acme) -> None:
    acme.start()
    wait_until(acme.is_issuer, 30, "the authority's certificate", every=0.2)
    before = acme.served()
    acme.pebble.stop()
    # One more name: there is something to ask.
    names = ",".join([*NAMES, "shop.example.test"])
    look = ["exec", "-T", "-e", f"TLS_NAMES={names}", "acme", "python", "-m"]
    look += ["order_service.certificates.acme", "--once"]
    failed = acme.stack.try_compose(*look)
    assert failed.returncode == 1
    assert "FAILED: certbot: " in failed.stderr
    again = acme.stack.try_compose(*look)
    assert again.returncode == 1
    assert "(the next try is at " in again.stderr
    assert acme.served() == before
    assert acme.client().get("/ping").status == 200

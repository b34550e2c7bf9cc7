"""The certificate between deployments: renewed in time, and served without a restart."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import authority
import pytest
from cryptography import x509
from order_service.certificates import renew as renew_certificate

from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FakeHost, Program


class Certificates:
    """A host whose certificate is valid for so many days but an hour."""

    def __init__(
        self, root: Path, docker: FakeDocker, days: int, *, own_authority: bool = True
    ) -> None:
        self._path = root / "certificates" / "tls.crt"
        self.issuer = authority.make()
        if own_authority:
            (root / "authority").mkdir()
            (root / "authority" / "ca.crt").write_bytes(self.issuer.certificate_pem)
            (root / "authority" / "ca.key").write_bytes(self.issuer.key_pem)
        self.host = FakeHost(root, docker, self.issuer.issue(["orders.example", "::1"], days))

    @property
    def installed(self) -> x509.Certificate:
        """What nginx is given."""
        return x509.load_pem_x509_certificate(self._path.read_bytes())

    @property
    def served(self) -> x509.Certificate:
        """What a client gets."""
        pem = ssl.get_server_certificate(("127.0.0.1", self.host.https_port), timeout=10)
        return x509.load_pem_x509_certificate(pem.encode())


@pytest.fixture
def days() -> int:
    """For how long the certificate is valid."""
    return 30


@pytest.fixture
def own_authority() -> bool:
    """Return whether the host has the authority that has issued it."""
    return True


@pytest.fixture
def on(
    root: Path, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, days: int, own_authority: bool
) -> Iterator[Certificates]:
    """Such a host, with nginx."""
    made = Certificates(root, docker, days, own_authority=own_authority)
    with made.host.serving(monkeypatch):
        yield made


def renew(program: Program, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Run the program, and return the lines that it said."""
    program(renew_certificate.main, *arguments)
    return capsys.readouterr().out.splitlines()


def test_with_less_than_30_days_left_it_is_issued_again_and_served(
    on: Certificates, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    old = on.installed
    assert renew(program, capsys)[-1] == "CHANGED"
    new = on.installed
    left = new.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=364) < left < timedelta(days=365)
    assert new.serial_number != old.serial_number
    assert new.public_key() == old.public_key()
    assert (new.subject, new.issuer) == (old.subject, old.issuer)
    assert list(new.extensions) == list(old.extensions)
    assert on.issuer.has_issued(new)
    assert on.served == new
    assert renew(program, capsys)[-1] == "UNCHANGED"
    assert on.installed == new


@pytest.mark.parametrize("days", [31])
def test_before_that_it_stays(
    on: Certificates, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    before = on.installed
    assert renew(program, capsys)[-1] == "UNCHANGED"
    assert on.installed == before
    assert docker.did == []
    # What is asked for is done in any case: a deployment has put another file in place.
    assert renew(program, capsys, "--reload")[-1] == "CHANGED"
    assert docker.did == ["reload"]


def test_a_reload_that_was_cut_off_is_made_up_for(
    on: Certificates, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.failing["reload"] = "cut off"
    with pytest.raises(SystemExit, match=r"FAILED: .*cut off"):
        renew(program, capsys)
    assert on.served != on.installed
    docker.failing.clear()
    assert renew(program, capsys)[-1] == "CHANGED"
    assert on.served == on.installed


@pytest.mark.parametrize("own_authority", [False])
def test_the_operators_own_is_not_renewed(
    on: Certificates, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    before = on.installed
    told = renew(program, capsys)
    assert told[0].startswith("another authority's certificate, valid until")
    assert told[-1] == "UNCHANGED"
    assert on.installed == before


def test_an_authority_that_ends_itself_is_told(
    on: Certificates, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = on.issuer.certificate.not_valid_after_utc - timedelta(days=29)
    clock = SimpleNamespace(now=lambda _: soon)
    monkeypatch.setattr(renew_certificate, "datetime", clock)
    with pytest.raises(SystemExit, match="FAILED: the authority itself ends on"):
        program(renew_certificate.main)


def test_where_nginx_does_not_run_nothing_is_reloaded(
    on: Certificates, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    before = on.installed
    docker.containers["order-service-nginx-1"].running = False
    assert renew(program, capsys)[-1] == "CHANGED"
    assert on.installed != before
    assert docker.did == []

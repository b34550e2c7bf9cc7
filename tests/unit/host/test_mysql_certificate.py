"""MySQL's certificate, and the authority, on hosts that share a database."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from order_service.certificates import authority, of_mysql, renew

from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import Program

NAMES = ["10.0.1.11", "orders-db-1", "mysql", "localhost", "127.0.0.1"]


class Member:
    """A database host without nginx, and the certificate that its MySQL serves."""

    def __init__(self, root: Path, docker: FakeDocker) -> None:
        self.root, self.docker = root, docker
        self.serves_until = datetime(2020, 1, 5, tzinfo=UTC)
        self.reloads = 0
        docker.mysql = self._client
        docker.add("mysql")
        settings = {"names": [], "fallback": [], "acme": {}, "web": False, "mysql": NAMES}
        (root / "settings" / "certificate.json").write_text(json.dumps(settings))

    def _client(self, given: list[str]) -> str:
        if given[-1] == "--execute=ALTER INSTANCE RELOAD TLS":
            self.serves_until = authority.end_of(self.leaf)
            self.reloads += 1
            return ""
        return f"Ssl_server_not_after\t{self.serves_until:%b %e %H:%M:%S %Y} GMT\n"

    @property
    def folder(self) -> Path:
        """What MySQL mounts."""
        return self.root / "certificates" / "mysql"

    @property
    def leaf(self) -> x509.Certificate:
        """What is in place."""
        return x509.load_pem_x509_certificate((self.folder / "server.pem").read_bytes())

    @property
    def issuer(self) -> x509.Certificate:
        """The host's authority."""
        return x509.load_pem_x509_certificate((self.root / "authority/ca.crt").read_bytes())


@pytest.fixture
def member(root: Path, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> Member:
    monkeypatch.setattr(of_mysql, "MYSQL_ID", os.getuid())
    return Member(root, docker)


def test_it_is_issued_for_the_hosts_names_and_read_by_mysql_once(
    member: Member, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    program(renew.main, "--local")
    assert capsys.readouterr().out == "CHANGED: the private authority\n"
    leaf = member.leaf
    assert authority.names_of(leaf) == set(NAMES)
    leaf.verify_directly_issued_by(member.issuer)
    uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    # A group's members call one another with it.
    assert set(uses) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert (member.folder / "ca.crt").read_bytes() == (
        member.root / "authority/ca.crt"
    ).read_bytes()
    assert stat.S_IMODE((member.folder / "server.key").stat().st_mode) == 0o400
    program(renew.main, "--local")
    assert capsys.readouterr().out == "UNCHANGED: the private authority\n"
    assert (member.leaf, member.reloads) == (leaf, 1)
    # There is no nginx that it could be for.
    assert not (member.root / "certificates" / "tls.crt").exists()


def test_it_is_renewed_in_its_last_third_and_a_lost_reload_is_made_up_for(
    member: Member, program: Program
) -> None:
    program(renew.main, "--local")
    ca_key = authority.read_key((member.root / "authority/ca.key").read_bytes())
    assert ca_key
    issuer = authority.Authority(member.issuer, ca_key)
    age = timedelta(days=of_mysql.DAYS * 0.7)
    chain, key = issuer.issue(NAMES, of_mysql.DAYS, age=age, mutual=True)
    (member.folder / "server.pem").write_bytes(chain)
    (member.folder / "server.key").chmod(0o600)
    (member.folder / "server.key").write_bytes(key)
    member.docker.mysql = lambda _: pytest.fail("MySQL is not there")
    member.docker.containers["order-service-mysql-1"].running = False
    old = member.leaf
    member.serves_until = authority.end_of(old)
    program(renew.main)
    assert authority.share_left(member.leaf) > authority.share_left(old)
    member.docker.mysql = member._client
    member.docker.containers["order-service-mysql-1"].running = True
    program(renew.main)
    assert (member.serves_until, member.reloads) == (authority.end_of(member.leaf), 2)


def test_a_host_that_has_an_authority_already_takes_the_heads_over(
    member: Member, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(renew.main, "--local")
    own, head = member.issuer, authority.make()
    told = {"authority": {"ca.key": head.key_pem.decode(), "ca.crt": head.certificate_pem.decode()}}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(told)))
    program(renew.main, "--local", "--handed")
    assert member.issuer == head.certificate != own
    assert head.has_issued(member.leaf)
    assert member.reloads == 2
    assert stat.S_IMODE((member.root / "authority/ca.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("told", ["", "[]", '{"keys": {}}', '{"authority": {"../x": "y"}}'])
def test_what_is_no_authority_is_refused_in_one_line(
    member: Member, program: Program, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(told))
    with pytest.raises(SystemExit) as refused:
        program(renew.main, "--local", "--handed")
    assert str(refused.value).startswith("FAILED: ")
    assert "\n" not in str(refused.value)
    assert not (member.root / "x").exists()

"""The certificate between deployments: renewed in time, and served without a restart."""

from __future__ import annotations

import errno
import json
import os
import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from order_service.certificates import authority, bring
from order_service.certificates import renew as renew_certificate

from tests.support.fake_docker import FakeDocker
from tests.support.fake_engine import Complaint
from tests.support.fake_host import FakeHost, Program

NAMES = ["orders.example", "::1"]
ACME = {"names": NAMES, "email": "me@example.com", "server": "", "profile": ""}


class Certificates:
    """A host whose certificate is so old, of the 365 days that its own authority gives."""

    def __init__(self, root: Path, docker: FakeDocker, age: int) -> None:
        self.root = root
        self.issuer = authority.make()
        (root / "authority").mkdir(mode=0o700)
        (root / "authority" / "ca.crt").write_bytes(self.issuer.certificate_pem)
        (root / "authority" / "ca.key").write_bytes(self.issuer.key_pem)
        names = [*NAMES, *bring.ALWAYS[:2]]
        leaf = self.issuer.issue(names, age=timedelta(days=age))
        self.host = FakeHost(root, docker, leaf)
        self.settings()

    def settings(self, **given: object) -> None:
        """Write what Ansible writes."""
        told = {"names": NAMES, "fallback": [], "acme": {}} | given
        (self.root / "settings" / "certificate.json").write_text(json.dumps(told))

    @property
    def installed(self) -> x509.Certificate:
        """What nginx is given."""
        return renew_certificate.installed()

    @property
    def served(self) -> x509.Certificate:
        """What a client gets."""
        pem = ssl.get_server_certificate(("127.0.0.1", self.host.https_port), timeout=10)
        return x509.load_pem_x509_certificate(pem.encode())

    def issue(self, docker: FakeDocker, days: int = 90) -> None:
        """Have an ACME authority that issues from now on."""
        folder = self.root / "private" / "acme" / "current"

        def issues(given: list[str]) -> str:
            self.asked = given
            folder.mkdir(parents=True, exist_ok=True)
            chain, key = authority.make().issue(NAMES, days)
            (folder / bring.CHAIN).write_bytes(chain)
            (folder / bring.KEY).write_bytes(key)
            return ""

        docker.acme = issues


@pytest.fixture
def age() -> int:
    """How old the certificate is, in days."""
    return 300


@pytest.fixture
def on(
    root: Path, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, age: int
) -> Iterator[Certificates]:
    """Such a host, with nginx."""
    monkeypatch.setattr(bring, "NGINX", os.getgid())
    made = Certificates(root, docker, age)
    with made.host.serving(monkeypatch):
        yield made


def renew(program: Program, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the program, and return the last line that it said."""
    program(renew_certificate.main, *arguments)
    return capsys.readouterr().out.splitlines()[-1]


def test_in_its_last_third_it_is_issued_again_and_served(
    on: Certificates, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    old = on.installed
    told = renew(program, capsys)
    assert told.startswith("CHANGED: the private authority's for orders.example, ::1, localhost")
    new = on.installed
    assert on.served == new != old
    assert new.public_key() == old.public_key()
    assert on.issuer.has_issued(new)
    assert renew(program, capsys).startswith("UNCHANGED: the private authority's for orders")
    assert on.installed == new


def test_a_full_disk_is_told_in_one_line_and_what_serves_goes_on(
    on: Certificates, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    old = on.installed
    monkeypatch.setattr(bring, "put", full)
    with pytest.raises(SystemExit, match=r"FAILED: \[Errno 28\] No space left on device"):
        program(renew_certificate.main)
    assert on.served == on.installed == old


@pytest.mark.parametrize("age", [200])
def test_before_that_it_stays(
    on: Certificates, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    before = on.installed
    program(renew_certificate.main)
    docker.did.clear()
    assert renew(program, capsys).startswith("UNCHANGED")
    assert on.installed == before
    assert docker.did == []


@pytest.mark.parametrize("age", [200])
def test_the_key_moves_below_a_folder_that_is_roots_alone(
    on: Certificates, root: Path, program: Program
) -> None:
    """Its owner is nginx's user, and that number is somebody else's on the host."""
    seen_by_nginx = (root / "certificates").stat().st_ino
    program(renew_certificate.main, "--local")
    assert stat.S_IMODE((root / "private").stat().st_mode) == 0o700
    assert (root / "certificates").is_symlink()
    assert (root / "certificates").resolve() == root / "private" / "certificates"
    # A container that runs has the folder, not its name.
    assert (root / "certificates").stat().st_ino == seen_by_nginx
    assert on.served == on.installed


def test_a_reload_that_was_cut_off_is_made_up_for(
    on: Certificates, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.failing["reload"] = "cut off"
    with pytest.raises(SystemExit, match=r"FAILED: .*cut off"):
        renew(program, capsys)
    assert on.served != on.installed
    docker.failing.clear()
    assert renew(program, capsys).startswith("CHANGED")
    assert on.served == on.installed


def test_what_is_served_is_seen_behind_a_balancer_too(
    on: Certificates, docker: FakeDocker, program: Program
) -> None:
    """nginx then expects a line of the PROXY protocol before anything else."""
    program(renew_certificate.main)
    with (on.root / "stack" / ".env").open("a") as settings:
        settings.write("PROXY_PROTOCOL='on'\n")
    line = b"PROXY UNKNOWN\r\n"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = on.root / "certificates"
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        if connection.recv(len(line), socket.MSG_WAITALL) == line:
            context.wrap_socket(connection, server_side=True).close()
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        docker.https_port = server.getsockname()[1]
        assert renew_certificate._served() == on.installed.public_bytes(Encoding.DER)


def test_where_nginx_does_not_run_nothing_is_reloaded(
    on: Certificates, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    before = on.installed
    docker.containers["order-service-nginx-1"].running = False
    assert renew(program, capsys).startswith("CHANGED")
    assert on.installed != before
    assert docker.did == []
    on.settings(acme=ACME)
    with pytest.raises(SystemExit) as ended:
        renew(program, capsys)
    assert ended.value.code == 1
    assert "FAILED: nginx does not run" in capsys.readouterr().err


def test_what_an_acme_authority_issues_is_served(
    on: Certificates, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    on.issue(docker)
    on.settings(acme=ACME)
    # Where nginx is yet to be started, it needs one at once.
    assert renew(program, capsys, "--local").startswith("CHANGED: the private authority's")
    assert renew(program, capsys, "--now").startswith("CHANGED: the ACME authority's")
    assert on.served == on.installed
    assert not on.issuer.has_issued(on.installed)
    assert on.asked == [
        "--env=TLS_NAMES=orders.example,::1",
        "--env=ACME_EMAIL=me@example.com",
        *("acme", "python", "-m", "order_service.certificates.acme", "--once", "--now"),
    ]


def test_a_failure_is_told_and_leaves_what_serves(
    on: Certificates, docker: FakeDocker, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuses(_: list[str]) -> str:
        raise Complaint("some noise\nFAILED: certbot: no such name")

    def fails() -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            program(renew_certificate.main)
        return ended.value.code, capsys.readouterr().err

    docker.acme = refuses
    on.settings(acme=ACME)
    code, said = fails()
    assert code == 1
    assert said.startswith("FAILED: certbot: no such name. What serves goes on: the private")
    assert on.served == on.installed
    on.issue(docker)
    renew(program, capsys)
    public = on.served
    docker.acme = refuses
    code, said = fails()
    # A deployment need not stop for that; the timer's unit fails.
    assert code == renew_certificate.NOT_RENEWED
    assert "goes on: the ACME authority's, valid until" in said
    assert on.served == on.installed == public

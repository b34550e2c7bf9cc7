"""nginx's certificate: the private authority's, renewed in time, or the user's own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import authority
import pytest
from cryptography import x509

from tests.support.service_process import REPOSITORY

PROGRAM = REPOSITORY / "deploy" / "certs" / "make_certificates.py"


class Volumes:
    """The folders that the program fills, with a group that anyone may give files to: one's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own = folder / "own"
        for name in ("authority", "certificates", "own"):
            (folder / name).mkdir()

    def make(self, names: str = "", roots: Path | None = None, status: int = 0) -> str:
        """Run the program, with these roots as the public authorities; return what it said."""
        given = {
            "VOLUMES": str(self.folder),
            "OWN_CERTIFICATE": str(self.own),
            "NGINX_GROUP": str(os.getgid()),
            "TLS_NAMES": names,
        }
        run = subprocess.run(
            [sys.executable, PROGRAM],
            capture_output=True,
            check=False,
            env=os.environ | given | ({"SSL_CERT_FILE": str(roots)} if roots else {}),
            text=True,
        )
        assert run.returncode == status, run.stderr
        return run.stdout + run.stderr

    def leaf(self) -> x509.Certificate:
        """Return what nginx serves."""
        return x509.load_pem_x509_certificate(self.read("certificates/tls.crt"))

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def bring(self, days: int | None = None) -> authority.Authority:
        """Bring a certificate as a user does; return its issuer."""
        issuer = authority.make()
        chain, key = issuer.issue(["brought.example"], days)
        (self.own / "fullchain.pem").write_bytes(chain)
        (self.own / "privkey.pem").write_bytes(key)
        return issuer

    def age(self, days: int) -> x509.Certificate:
        """Put a leaf of the authority's with so many days left in the place of the present one."""
        issuer = authority.load(self.read("authority/ca.crt"), self.read("authority/ca.key"))
        chain, key = issuer.issue(["localhost", "127.0.0.1", "::1"], days)
        (self.folder / "certificates" / "tls.crt").write_bytes(chain)
        (self.folder / "certificates" / "tls.key").write_bytes(key)
        return self.leaf()


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    made = Volumes(tmp_path)
    made.make()
    return made


def test_a_leaf_is_issued_for_this_host_and_kept(volumes: Volumes) -> None:
    leaf = volumes.leaf()
    assert authority.names_of(leaf) == {"localhost", "127.0.0.1", "::1"}
    issuer = x509.load_pem_x509_certificate(volumes.read("certificates/ca.crt"))
    leaf.verify_directly_issued_by(issuer)
    assert "issued" not in volumes.make()
    assert volumes.leaf() == leaf


def test_only_nginx_may_read_the_key(volumes: Volumes) -> None:
    key = (volumes.folder / "certificates" / "tls.key").stat()
    assert (stat.S_IMODE(key.st_mode), key.st_gid) == (0o640, os.getgid())
    assert stat.S_IMODE((volumes.folder / "authority" / "ca.key").stat().st_mode) == 0o600
    served = {path.name for path in (volumes.folder / "certificates").iterdir()}
    assert served == {"ca.crt", "hsts.conf", "tls.crt", "tls.key"}


def test_other_names_mean_another_leaf_of_the_same_authority(volumes: Volumes) -> None:
    issuer = volumes.leaf().issuer
    assert "the names have changed" in volumes.make("orders.example, 192.0.2.1")
    names = {"localhost", "127.0.0.1", "::1", "orders.example", "192.0.2.1"}
    assert authority.names_of(volumes.leaf()) == names
    assert volumes.leaf().issuer == issuer
    assert "TLS_NAMES: 'a_b' is not allowed; expected" in volumes.make("a_b", status=1)


def test_a_leaf_is_renewed_in_its_last_30_days_and_not_before(volumes: Volumes) -> None:
    young = volumes.age(31)
    assert "issued" not in volumes.make()
    assert volumes.leaf() == young
    old = volumes.age(29)
    assert f"since the former one ends on {old.not_valid_after_utc:%Y-%m-%d}" in volumes.make()
    new = volumes.leaf()
    assert new.not_valid_after_utc - old.not_valid_after_utc > timedelta(days=300)
    assert new.issuer == old.issuer


def test_a_brought_certificate_is_used_and_never_overwritten(volumes: Volumes) -> None:
    volumes.bring()
    brought = (volumes.own / "fullchain.pem").read_bytes()
    for _ in range(2):
        assert "your own, valid until" in volumes.make()
        assert volumes.read("certificates/tls.crt") == brought
        assert (volumes.own / "fullchain.pem").read_bytes() == brought
    assert not (volumes.folder / "certificates" / "ca.crt").exists()
    for path in volumes.own.iterdir():
        path.unlink()
    assert "the former one is another issuer's" in volumes.make()


def test_one_that_cannot_be_used_is_refused_and_the_former_one_stays(volumes: Volumes) -> None:
    leaf = volumes.leaf()
    volumes.bring(days=0)
    assert "fullchain.pem ended on" in volumes.make(status=1)
    volumes.bring()
    chain = (volumes.own / "fullchain.pem").read_bytes()
    volumes.bring()
    (volumes.own / "fullchain.pem").write_bytes(chain)
    assert "privkey.pem is not the key of fullchain.pem" in volumes.make(status=1)
    (volumes.own / "privkey.pem").unlink()
    assert "has only fullchain.pem; expected" in volumes.make(status=1)
    (volumes.own / "privkey.pem").write_text("nonsense")
    assert "is not PEM" in volumes.make(status=1)
    assert volumes.leaf() == leaf


def test_hsts_comes_with_a_certificate_that_public_authorities_stand_behind(
    volumes: Volumes, tmp_path: Path
) -> None:
    def strict() -> bool:
        return b"Strict-Transport-Security" in volumes.read("certificates/hsts.conf")

    assert not strict()
    roots = tmp_path / "roots.pem"
    roots.write_bytes(volumes.bring().certificate_pem)
    assert "without HSTS" in volumes.make()
    assert not strict()
    assert "with HSTS" in volumes.make(roots=roots)
    assert strict()

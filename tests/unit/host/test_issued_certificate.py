"""The certificate of a host's own authority: issued where it has to be, and kept otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import authority
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.own_modules import OwnModule

NAMES = ["orders.example.com", "192.0.2.1", "2001:db8::1"]
LONG = f"{'long.' * 20}example.com"


class Host:
    """The folders of a host's certificates, and the module that keeps them."""

    def __init__(self, folder: Path) -> None:
        self._module = OwnModule("roles/certificates/library/issued_certificate.py", folder)
        self.authority, self.folder = folder / "authority", folder / "certificates"
        self.ca_key, self.ca = self.authority / "ca.key", self.authority / "ca.crt"
        self.key, self.leaf = self.folder / "tls.key", self.folder / "tls.crt"

    def bring(self, *names: str, check_mode: bool = False) -> dict[str, Any]:
        return self._module.run(
            authority=str(self.authority),
            folder=str(self.folder),
            owner=str(os.geteuid()),
            names=names or NAMES,
            check_mode=check_mode,
        )

    def files(self) -> dict[str, tuple[str, bytes]]:
        """Return the mode and the content of each file and folder."""
        return {
            path.name: (
                f"{path.stat().st_mode & 0o7777:04o}", path.read_bytes() if path.is_file() else b"",
            )
            for top in (self.authority, self.folder)
            for path in ([top, *top.iterdir()] if top.exists() else [])
        }  # fmt: skip

    def served(self) -> x509.Certificate:
        """Return the certificate, after a look whether its key and its authority are right."""
        leaf = x509.load_pem_x509_certificate(self.leaf.read_bytes())
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(self.ca.read_bytes()))
        key = load_pem_private_key(self.key.read_bytes(), None)
        assert leaf.public_key() == key.public_key()
        assert (self.folder / "ca.crt").read_bytes() == self.ca.read_bytes()
        return leaf


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def issued(host: Host) -> Host:
    """A host whose certificate has been issued."""
    assert host.bring()["changed"]
    return host


def test_a_bare_host_gets_an_authority_and_a_certificate_and_keeps_them(host: Host) -> None:
    assert host.bring(check_mode=True)["changed"]
    assert host.files() == {}
    made = host.bring()
    assert authority.names_of(host.served()) == {*NAMES}
    assert made["ca"] == host.ca.read_text()
    before = host.files()
    assert {name: mode for name, (mode, _) in before.items()} == {
        "authority": "0700",
        "ca.key": "0600",
        "certificates": "0755",
        "ca.crt": "0644",
        "tls.key": "0400",
        "tls.crt": "0644",
    }
    # An address has many spellings.
    again = host.bring("orders.example.com", "2001:DB8:0::1", "192.0.2.1")
    assert (again["changed"], again["issued"], again["ca"]) == (False, "", made["ca"])
    assert host.files() == before


def test_other_names_get_another_certificate_for_the_same_key(issued: Host) -> None:
    key, ca = issued.key.read_bytes(), issued.ca.read_bytes()
    dry = issued.bring(LONG, check_mode=True)
    assert authority.names_of(issued.served()) == {*NAMES}
    told = issued.bring(LONG)
    assert dry["issued"] == told["issued"] == "the names have changed"
    assert authority.names_of(issued.served()) == {LONG}
    assert (issued.key.read_bytes(), issued.ca.read_bytes()) == (key, ca)
    assert not issued.bring(LONG)["changed"]


def test_one_more_name_is_in_the_next_certificate(issued: Host) -> None:
    issued.bring(*NAMES, "shop.example.com")
    assert authority.names_of(issued.served()) == {*NAMES, "shop.example.com"}


def test_another_first_name_is_what_the_certificate_is_called(issued: Host) -> None:
    issued.bring(*reversed(NAMES))
    assert issued.served().subject.rfc4514_string() == "CN=2001:db8::1"


def forget_key(host: Host) -> None:
    host.key.unlink()


def forget_certificate(host: Host) -> None:
    host.leaf.unlink()


def bring_own(host: Host) -> None:
    """Put a certificate there that somebody else has issued, as its owner brings one."""
    leaf, key = authority.make().issue(NAMES)
    host.leaf.write_bytes(leaf)
    host.key.write_bytes(key)


def bring_own_of_another_kind(host: Host) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    leaf, key_pem = authority.make().issue(NAMES, key=key)
    host.leaf.write_bytes(leaf)
    host.key.write_bytes(key_pem)


def garble(host: Host) -> None:
    host.leaf.write_text("nonsense")


def swap_key(host: Host) -> None:
    host.key.write_bytes(authority.make().key_pem)


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (forget_key, "there is no key of this kind"),
        (forget_certificate, "there is no certificate"),
        (bring_own, "the former one is another issuer's"),
        (bring_own_of_another_kind, "there is no key of this kind"),
        (garble, "there is no certificate"),
        (swap_key, "the former one is for another key"),
    ],
)
def test_what_nginx_cannot_use_is_replaced_by_the_same_authority(
    issued: Host, happens: Callable[[Host], None], reason: str
) -> None:
    ca = issued.ca.read_bytes()
    happens(issued)
    told = issued.bring()
    assert told["issued"] == reason
    assert issued.ca.read_bytes() == ca
    assert authority.names_of(issued.served()) == {*NAMES}


@pytest.mark.parametrize("another", [None, authority.make()], ids=["lost", "another's"])
def test_the_authoritys_certificate_is_made_anew_for_its_key(
    issued: Host, another: authority.Authority | None
) -> None:
    """Clients that trust the former one go on to do so."""
    former = x509.load_pem_x509_certificate(issued.ca.read_bytes())
    leaf = issued.leaf.read_bytes()
    issued.ca.unlink()
    if another:
        issued.ca.write_bytes(another.certificate_pem)
    assert issued.bring()["changed"]
    assert x509.load_pem_x509_certificate(issued.ca.read_bytes()).public_key() == (
        former.public_key()
    )
    issued.served()
    assert issued.leaf.read_bytes() == leaf


def test_a_lost_key_of_the_authority_makes_another_authority(issued: Host) -> None:
    former = issued.ca.read_bytes()
    issued.ca_key.unlink()
    assert issued.bring()["issued"] == "the former one is another issuer's"
    assert issued.ca.read_bytes() != former
    issued.served()


def test_a_damaged_key_of_the_authority_is_not_replaced_unasked(issued: Host) -> None:
    issued.ca_key.write_text("nonsense")
    before = issued.files()
    told = issued.bring()
    assert told["failed"]
    assert f"{issued.ca_key} is not a private key that can be read" in told["msg"]
    assert issued.files() == before


def test_what_others_may_read_is_closed_again(issued: Host) -> None:
    before = issued.files()
    issued.key.chmod(0o444)
    issued.authority.chmod(0o755)
    issued.ca_key.chmod(0o644)
    assert issued.bring()["issued"] == ""
    assert issued.files() == before


def test_what_is_no_name_is_refused(host: Host) -> None:
    told = host.bring("no name")
    assert told["failed"]
    assert "no certificate can be issued for these names: 'no name'" in told["msg"]

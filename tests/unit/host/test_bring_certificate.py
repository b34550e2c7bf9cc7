"""nginx's certificate: the private authority's, renewed in time, or one that was brought."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from order_service.certificates import authority, bring
from order_service.certificates.authority import CertificateError

from tests.support.certificate_folders import NAMES, Folders

ALL = {*NAMES, *bring.ALWAYS}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    # One's own: not everybody may give files away.
    monkeypatch.setattr(bring, "NGINX", os.getgid())
    return Folders(tmp_path)


@pytest.fixture
def issued(folders: Folders) -> Folders:
    """Those of a host whose certificate has been issued."""
    assert folders.bring().changed
    return folders


def test_nothing_becomes_an_authority_and_a_certificate_which_stay(folders: Folders) -> None:
    made = folders.bring()
    assert (made.changed, made.public) == (True, False)
    assert made.text.startswith("the private authority's for orders.example.com, 192.0.2.1, ")
    assert authority.names_of(folders.served()) == ALL
    before = folders.files()
    assert {name: mode for name, (mode, _) in before.items()} == {
        "authority": "0700",
        "authority/ca.key": "0600",
        "authority/ca.crt": "0644",
        "certificates": "0755",
        "certificates/ca.crt": "0644",
        "certificates/hsts.conf": "0644",
        "certificates/tls.crt": "0644",
        # Who cannot give it away shares it with nginx's group.
        "certificates/tls.key": "0400" if os.geteuid() == 0 else "0640",
    }
    # An address has many spellings.
    assert not folders.bring("orders.example.com", "2001:DB8:0::1", "192.0.2.1").changed
    assert folders.files() == before


def test_other_names_get_another_certificate_for_the_same_key(issued: Folders) -> None:
    key, ca = issued.key.read_bytes(), issued.ca.read_bytes()
    long = f"{'long.' * 20}example.com"
    assert issued.bring(long).changed
    assert authority.names_of(issued.served()) == {long, *bring.ALWAYS}
    assert (issued.key.read_bytes(), issued.ca.read_bytes()) == (key, ca)
    assert not issued.bring(long).changed


def test_a_host_without_names_is_called_what_it_calls_itself(folders: Folders) -> None:
    bring.bring(folders.places, [], ["orders-1", "under_score", "192.0.2.7"])
    assert authority.names_of(folders.served()) == {"orders-1", "192.0.2.7", *bring.ALWAYS}


def test_it_is_issued_again_for_the_same_key_in_its_last_third(issued: Folders) -> None:
    young = issued.age(243)
    assert not issued.bring().changed
    assert issued.served() == young
    old = issued.age(244)
    assert issued.bring().changed
    new = issued.served()
    assert authority.share_left(new) > 0.99
    assert new.serial_number != old.serial_number
    assert new.public_key() == old.public_key()
    assert (new.subject, new.issuer) == (old.subject, old.issuer)
    assert list(new.extensions) == list(old.extensions)


def forget_key(on: Folders) -> None:
    on.key.unlink()


def forget_certificate(on: Folders) -> None:
    on.leaf.unlink()


def leave_anothers(on: Folders) -> None:
    """Have a certificate that somebody else has issued."""
    leaf, key = authority.make().issue(NAMES)
    on.leaf.write_bytes(leaf)
    on.key.write_bytes(key)


def leave_another_kind(on: Folders) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    leaf, key_pem = authority.make().issue(NAMES, key=key)
    on.leaf.write_bytes(leaf)
    on.key.write_bytes(key_pem)


def garble(on: Folders) -> None:
    on.leaf.write_text("nonsense")


def swap_key(on: Folders) -> None:
    on.key.write_bytes(authority.make().key_pem)


@pytest.mark.parametrize(
    "happens",
    [forget_key, forget_certificate, leave_anothers, leave_another_kind, garble, swap_key],
)
def test_what_nginx_cannot_use_is_replaced_by_the_same_authority(
    issued: Folders, happens: Callable[[Folders], None]
) -> None:
    ca = issued.ca.read_bytes()
    happens(issued)
    assert issued.bring().changed
    assert issued.ca.read_bytes() == ca
    assert authority.names_of(issued.served()) == ALL


@pytest.mark.parametrize("another", [None, authority.make()], ids=["lost", "another's"])
def test_the_authoritys_certificate_is_made_anew_for_its_key(
    issued: Folders, another: authority.Authority | None
) -> None:
    """Clients that trust the former one go on to do so."""
    former = x509.load_pem_x509_certificate(issued.ca.read_bytes())
    leaf = issued.leaf.read_bytes()
    issued.ca.unlink()
    if another:
        issued.ca.write_bytes(another.certificate_pem)
    assert issued.bring().changed
    made = x509.load_pem_x509_certificate(issued.ca.read_bytes())
    assert made.public_key() == former.public_key()
    issued.served()
    assert issued.leaf.read_bytes() == leaf


def test_a_lost_key_of_the_authority_makes_another_authority(issued: Folders) -> None:
    former = issued.ca.read_bytes()
    issued.ca_key.unlink()
    assert issued.bring().changed
    assert issued.ca.read_bytes() != former
    issued.served()


def test_a_damaged_key_of_the_authority_is_not_replaced_unasked(issued: Folders) -> None:
    issued.ca_key.write_text("nonsense")
    before = issued.files()
    with pytest.raises(CertificateError, match=r"ca.key is not a private key that can be read"):
        issued.bring()
    assert issued.files() == before


def test_an_authority_that_ends_itself_is_told(
    issued: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bring, "AUTHORITY_LEFT", timedelta(days=authority.AUTHORITY_DAYS + 1))
    assert not issued.bring().changed
    issued.age(300)
    with pytest.raises(CertificateError, match="the authority itself ends on"):
        issued.bring()


def test_what_others_may_read_is_closed_again(issued: Folders) -> None:
    before = issued.files()
    issued.key.chmod(0o444)
    issued.places.authority.chmod(0o755)
    issued.ca_key.chmod(0o644)
    assert issued.bring().changed
    assert issued.files() == before


def test_what_was_brought_is_served_and_never_overwritten(issued: Folders) -> None:
    issued.put(issued.places.own)
    brought = (issued.places.own / bring.CHAIN).read_bytes()
    told = issued.bring()
    assert (told.public, told.text.startswith("your own, valid until")) == (True, True)
    assert issued.leaf.read_bytes() == brought
    assert not (issued.places.nginx / "ca.crt").exists()
    assert not issued.bring().changed
    assert (issued.places.own / bring.CHAIN).read_bytes() == brought
    for path in issued.places.own.iterdir():
        path.unlink()
    assert issued.bring().changed
    issued.served()


def test_brought_that_cannot_be_used_is_refused_and_the_former_one_stays(issued: Folders) -> None:
    leaf = issued.leaf.read_bytes()
    issued.put(issued.places.own, days=0)
    with pytest.raises(CertificateError, match="expected one that is valid today"):
        issued.bring()
    (issued.places.own / bring.KEY).unlink()
    with pytest.raises(CertificateError, match=r"there is no file .*privkey"):
        issued.bring()
    issued.put(issued.places.own, "other.example.com")
    with pytest.raises(CertificateError, match=r"but not for orders\.example\.com"):
        issued.bring()
    assert issued.leaf.read_bytes() == leaf


def test_an_acme_authoritys_is_served_while_it_is_wanted_and_good(issued: Folders) -> None:
    folder = issued.places.acme
    assert folder
    issued.put(folder)
    told = issued.bring()
    assert (told.public, told.text.startswith("the ACME authority's")) == (True, True)
    assert issued.leaf.read_bytes() == (folder / bring.CHAIN).read_bytes()
    # What was brought by hand goes first.
    issued.put(issued.places.own)
    assert issued.bring().text.startswith("your own")
    for path in issued.places.own.iterdir():
        path.unlink()
    # It has ended: the private authority's is of more use, to who knows that.
    issued.put(folder, days=0)
    assert not issued.bring().public
    issued.served()
    issued.put(folder)
    issued.places = replace(issued.places, acme=None)
    assert not issued.bring().public


def test_hsts_comes_with_a_certificate_that_public_authorities_stand_behind(
    issued: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strict() -> bool:
        return b"Strict-Transport-Security" in (issued.places.nginx / "hsts.conf").read_bytes()

    assert not strict()
    roots = tmp_path / "roots.pem"
    roots.write_bytes(issued.put(issued.places.own, "*.example.com").certificate_pem)
    assert "without HSTS" in issued.bring("any.example.com").text
    assert not strict()
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    assert "with HSTS" in issued.bring("any.example.com").text
    assert strict()


def test_the_stacks_one_shot_reads_its_settings(
    issued: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bring, "VOLUMES", issued.folder)
    monkeypatch.setenv("OWN_CERTIFICATE", str(issued.places.own))
    monkeypatch.setenv("TLS_NAMES", "orders.example, 192.0.2.1")
    bring.main()
    assert "docker compose cp nginx:" in capsys.readouterr().out
    assert authority.names_of(issued.served()) == {"orders.example", "192.0.2.1", *bring.ALWAYS}
    # Whatever profiles the call of Compose has: the ACME client's goes on.
    current = issued.folder / "acme" / "current"
    current.mkdir()
    issued.put(current)
    bring.main()
    assert "certificates: the ACME authority's" in capsys.readouterr().out
    monkeypatch.setenv("TLS_NAMES", "a_b")
    with pytest.raises(SystemExit, match="TLS_NAMES: a_b is not allowed; expected"):
        bring.main()

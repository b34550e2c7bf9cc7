"""The folders that nginx's certificate is made in, or brought to."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from order_service.certificates import authority, bring

NAMES = ["orders.example.com", "192.0.2.1", "2001:db8::1"]


class Folders:
    """The folders of certificates, and what keeps nginx's right."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = bring.Places(
            *(folder / name for name in ("certificates", "authority", "own", "acme"))
        )
        for path in (self.places.own, folder / "acme"):
            path.mkdir()
        self.key, self.leaf = (self.places.nginx / f"tls.{name}" for name in ("key", "crt"))
        self.ca_key, self.ca = (self.places.authority / f"ca.{name}" for name in ("key", "crt"))

    def bring(self, *names: str) -> bring.Brought:
        return bring.bring(self.places, names or NAMES)

    def files(self) -> dict[str, tuple[str, bytes]]:
        """Return the mode and the content of each file and folder of both."""
        return {
            str(path.relative_to(self.folder)): (
                f"{stat.S_IMODE(path.stat().st_mode):04o}",
                path.read_bytes() if path.is_file() else b"",
            )
            for top in (self.places.authority, self.places.nginx)
            for path in ([top, *top.iterdir()] if top.exists() else [])
        }

    def served(self) -> x509.Certificate:
        """Return the certificate, after a look whether its key and its authority are right."""
        leaf = x509.load_pem_x509_certificate(self.leaf.read_bytes())
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(self.ca.read_bytes()))
        key = load_pem_private_key(self.key.read_bytes(), None)
        assert leaf.public_key() == key.public_key()
        assert (self.places.nginx / "ca.crt").read_bytes() == self.ca.read_bytes()
        return leaf

    def put(self, folder: Path, *names: str, days: int = 90) -> authority.Authority:
        """Put somebody's certificate and its key into a folder; return its issuer."""
        issuer = authority.make()
        chain, key = issuer.issue(names or NAMES, days)
        (folder / bring.CHAIN).write_bytes(chain)
        (folder / bring.KEY).write_bytes(key)
        return issuer

    def age(self, days: int) -> x509.Certificate:
        """Have the leaf be so old."""
        ca, ca_key = (
            authority.read_certificate(self.ca.read_bytes()),
            authority.read_key(self.ca_key.read_bytes()),
        )
        assert ca
        assert ca_key
        issuer, key = authority.Authority(ca, ca_key), authority.read_key(self.key.read_bytes())
        names = [*NAMES, *bring.ALWAYS]
        self.leaf.write_bytes(issuer.issue(names, 365, key, timedelta(days=days))[0])
        return self.served()

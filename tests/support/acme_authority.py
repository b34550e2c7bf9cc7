"""An ACME authority: pebble, as the lab has fetched it, in a container of its own."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from order_service.certificates import authority

from tests.support.docker import docker
from tests.support.polling import wait_until

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FETCHED = CACHE / "order-service-lab" / "pebble" / "usr" / "bin"
# It has what the programs need to run.
IMAGE = "python:3.13-slim-trixie"
PORT, MANAGEMENT = 14000, 15000
SIX_DAYS, NINETY_DAYS = 6 * 86400, 90 * 86400
CONFIG = {
    "listenAddress": f"0.0.0.0:{PORT}",
    "managementListenAddress": f"0.0.0.0:{MANAGEMENT}",
    "certificate": "/pebble/tls.crt",
    "privateKey": "/pebble/tls.key",
    "tlsPort": 5001,
    "externalAccountBindingRequired": False,
    "retryAfter": {"authz": 1, "order": 1},
    "profiles": {
        "default": {"description": "usual", "validityPeriod": NINETY_DAYS},
        "shortlived": {"description": "for addresses, too", "validityPeriod": SIX_DAYS},
    },
}


class AcmeAuthority:
    """It looks at port `http_port` of what names and addresses lead to.

    In its DNS every name leads to one address.
    """

    def __init__(self, network: str, leads_to: str, http_port: int, name: str = "") -> None:
        """Have it in a network of Docker's, or in a container's: there it needs a name."""
        self.name, self._network = name, network
        self._leads_to, self._http_port = leads_to, http_port
        self._container = f"orders-pebble-{secrets.token_hex(4)}"
        self.issuer = authority.make()

    @property
    def url(self) -> str:
        """Its directory, for clients."""
        return f"https://{self.name}:{PORT}/dir"

    def __enter__(self) -> Self:
        if not (FETCHED / "pebble").exists():
            pytest.skip("there is no pebble: run `make lab`")
        dns = f'-defaultIPv4 {self._leads_to} -defaultIPv6 "" -dnsserver 127.0.0.1:8053'
        others = " ".join(f'-{one} ""' for one in ("http01", "https01", "tlsalpn01", "doh"))
        script = (
            "until [ -f /pebble/config.json ]; do sleep 0.1; done;"
            f" /pebble/pebble-challtestsrv {dns} {others} -management 127.0.0.1:8055 &"
            " exec /pebble/pebble -strict -config /pebble/config.json -dnsserver 127.0.0.1:8053"
        )
        # certbot asks a second time after a nonce that was refused, and not a third time.
        variables = {"VA_NOSLEEP": 1, "AUTHZREUSE": 0, "WFE_NONCEREJECT": 0}
        docker(
            *("run", "--detach", f"--name={self._container}", f"--network={self._network}"),
            *(f"--env=PEBBLE_{name}={value}" for name, value in variables.items()),
            *(IMAGE, "sh", "-c", script),
        )
        self.name = self.name or self._address()
        chain, key = self.issuer.issue([self.name])
        config = json.dumps({"pebble": CONFIG | {"httpPort": self._http_port}})
        docker("cp", str(FETCHED), f"{self._container}:/pebble")
        with tempfile.TemporaryDirectory() as folder:
            # The last of them starts it.
            for name, content in (("tls.crt", chain), ("tls.key", key), ("config.json", config)):
                path = Path(folder) / name
                path.write_bytes(content.encode() if isinstance(content, str) else content)
                docker("cp", str(path), f"{self._container}:/pebble/{name}")
        wait_until(lambda: "Listening on" in self.said(), 20, "pebble")
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", "--volumes", self._container)

    def said(self) -> str:
        """Return its log."""
        return docker("logs", self._container, errors_too=True)

    def stop(self) -> None:
        """Have it away."""
        docker("stop", "--time=1", self._container)

    def _address(self) -> str:
        """Return its address in Docker's own network."""
        return docker("inspect", "--format={{.NetworkSettings.IPAddress}}", self._container)

    @property
    def root(self) -> bytes:
        """What clients of the service verify with."""
        return self._manage("GET", "/roots/0").encode()

    def advise_renewal(self, certificate: x509.Certificate) -> None:
        """Have it say from now on that the certificate should be renewed at once."""
        past = {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}
        told = {
            "Certificate": certificate.public_bytes(Encoding.PEM).decode(),
            "ARIResponse": json.dumps({"suggestedWindow": past}),
        }
        self._manage("POST", "/set-renewal-info/", told)

    def _manage(self, method: str, path: str, body: Any = None) -> str:
        """Ask its management port, where only its own container reaches it."""
        script = (
            "import sys, urllib.request as r, ssl;"
            f"q = r.Request('https://127.0.0.1:{MANAGEMENT}{path}', method={method!r},"
            " data=sys.argv[1].encode() or None);"
            "print(r.urlopen(q, context=ssl._create_unverified_context()).read().decode())"
        )
        text = json.dumps(body) if body else ""
        return docker("exec", self._container, "python3", "-c", script, text)

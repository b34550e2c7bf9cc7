"""A registry with the base images, for hosts that pull them as real ones do."""

from __future__ import annotations

import secrets
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from order_service.certificates import authority

from tests.support.docker import docker
from tests.support.polling import wait_until

if TYPE_CHECKING:
    from tests.support.remote_host import RemoteHost

IMAGE = "order-service-lab/registry:filled"
NAME, PORT = "registry.test", 5000
CONFIG = """version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: /srv/registry}
http:
  addr: ":5000"
  tls: {certificate: /srv/registry.crt, key: /srv/registry.key}
"""


class Registry:
    """A container that only this machine and its containers reach, filled anew at each start."""

    name, url = NAME, f"https://{NAME}:{PORT}"

    def __enter__(self) -> Self:
        self._authority = authority.make()
        self._container = f"orders-registry-{secrets.token_hex(4)}"
        docker("create", f"--name={self._container}", IMAGE)
        chain, key = self._authority.issue([NAME])
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (("crt", chain), ("key", key)):
                (Path(folder) / f"registry.{name}").write_bytes(content)
                self._put(Path(folder) / f"registry.{name}", f"/srv/registry.{name}")
            (Path(folder) / "registry.yml").write_text(CONFIG)
            self._put(Path(folder) / "registry.yml", "/etc/registry.yml")
        docker("start", self._container)
        form = "--format={{.NetworkSettings.IPAddress}}"
        self.address = docker("inspect", form, self._container).strip()
        wait_until(self._answers, 20, "the registry")
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", "--volumes", self._container)

    def trusted_by(self, host: RemoteHost) -> None:
        """Have a host trust the registry's authority, as that of a private mirror."""
        pem = self._authority.certificate_pem.decode()
        host.inside(f"echo '{pem}' >/usr/local/share/ca-certificates/registry.crt")
        host.inside("update-ca-certificates >/dev/null 2>&1")

    def _put(self, source: Path, target: str) -> None:
        docker("cp", str(source), f"{self._container}:{target}")

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.address, PORT), timeout=1).close()
        except OSError:
            return False
        return True

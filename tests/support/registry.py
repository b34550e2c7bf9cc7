"""A registry with the base images, for hosts that pull them as real ones do."""

from __future__ import annotations

import secrets
import socket
from typing import Self

from tests.support.polling import wait_until
from tests.support.stack import docker

IMAGE = "order-service-lab/registry:filled"
PORT = 5000


class Registry:
    """A container that only this machine and its containers reach, filled anew at each start."""

    def __enter__(self) -> Self:
        self._name = f"orders-registry-{secrets.token_hex(4)}"
        docker("run", "--detach", f"--name={self._name}", IMAGE)
        self.address = docker(
            "inspect", "--format={{.NetworkSettings.IPAddress}}", self._name
        ).strip()
        wait_until(self._answers, 20, "the registry")
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", "--volumes", self._name)

    @property
    def url(self) -> str:
        """Where hosts find it."""
        return f"http://{self.address}:{PORT}"

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.address, PORT), timeout=1).close()
        except OSError:
            return False
        return True

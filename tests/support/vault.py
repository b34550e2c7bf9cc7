"""A place for hosts' copies: an account on a host of its own, and a key that is on no host."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.remote_host import RemoteHost
from tests.support.several_hosts import private_address

FOLDER = "/srv/copies"


class Vault:
    """The account, and the key that the copies are encrypted to."""

    def __init__(self, boot: Callable[[], RemoteHost], folder: Path) -> None:
        self._host = boot()
        self._host.sudo("apt-get update -q && apt-get install -qy rsync", seconds=300)
        self._host.sudo(f"mkdir {FOLDER} && chown admin: {FOLDER}")
        self.address = private_address(self._host)
        self.key = folder / "backup.key"
        subprocess.run(["age-keygen", "-o", self.key], check=True, capture_output=True)

    def settings(self) -> dict[str, str]:
        """Return the settings of a host that knows this one by the name `vault`."""
        public = subprocess.run(
            ["age-keygen", "-y", self.key], check=True, capture_output=True, text=True
        ).stdout.strip()
        return {"backup_destination": f"admin@vault:{FOLDER}", "backup_public_key": public}

    def let_in(self, host: RemoteHost) -> None:
        """Let a deployed host bring its copies, as deploy.yml has told."""
        line = host.sudo("cat /etc/order-service/backup_key.pub").strip()
        self._host.ssh(f"echo 'restrict {line}' >> ~/.ssh/authorized_keys")

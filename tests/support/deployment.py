"""A host that `ansible-playbook deploy.yml` has set up, seen from outside and from its console."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import urllib3

from tests.support.checkout import Checkout
from tests.support.control_node import ControlNode, PlaybookRun
from tests.support.docker import docker
from tests.support.remote_host import RemoteHost
from tests.support.service_process import REPOSITORY
from tests.support.stack import StackClient, accesses

ROOT = "/opt/order-service"
# The host's program.
PROGRAM = f"{ROOT}/order-service"
MYSQL = "order-service-mysql-1"
NGINX = "order-service-nginx-1"
# Leaves out what a release does not change, to save time.
RELEASE_ONLY = ("--tags", "release")


def install_program(
    remote: RemoteHost, folder: Path = REPOSITORY / "deploy" / "host", release: str = "tried"
) -> None:
    """Put the program in place on a host without a deployment, as a deployment does."""
    place = f"{ROOT}/releases/{release}/deploy"
    remote.sudo(f"mkdir -p {place}")
    docker("cp", str(folder), f"{remote.name}:{place}/host")
    remote.sudo(f"python3 {place}/host install {release}")


class Deployment:
    """One host, the checkout that is deployed to it, and who deploys; asked as a stack is."""

    http_port, https_port = 80, 443

    def __init__(self, remote: RemoteHost, checkout: Checkout, node: ControlNode) -> None:
        self.remote, self.checkout, self.node = remote, checkout, node
        self.host = remote.address

    def deploy(self, *arguments: str, **variables: Any) -> PlaybookRun:
        """Deploy what the checkout has; it must succeed."""
        return self.node.playbook("deploy.yml", *arguments, **variables)

    def try_deploy(self, *arguments: str, **variables: Any) -> PlaybookRun:
        """Deploy what the checkout has, whatever comes of it."""
        return self.node.try_playbook("deploy.yml", *arguments, **variables)

    def new_release(self, message: str = "Another release") -> str:
        """Commit what has been changed and return the release's name."""
        return self.checkout.commit(message)[:12]

    @property
    def ca(self) -> Path:
        """The authority's certificate, as the playbook has fetched it."""
        return self.node.ansible_folder / "fetched" / self.remote.name / "ca.crt"

    @property
    def colour(self) -> str:
        """The colour that nginx sends to."""
        text = self.remote.ssh(f"cat {ROOT}/upstream/server.conf")
        found = re.search(r"# (blue|green)", text)
        assert found, text
        return found[1]

    @property
    def app(self) -> str:
        """The container of the service that serves."""
        return f"order-service-{self.colour}-app-1"

    @property
    def password(self) -> str:
        """The API's password."""
        return self.remote.docker("exec", self.app, "cat", "/run/secrets/auth_password").strip()

    def client(self) -> StackClient:
        """Return a client that verifies with the fetched authority."""
        return StackClient(443, self.ca, self.host, self.password)

    def try_status(self, path: str) -> int:
        """Return the status that a GET is answered with; 0 where nothing answers."""
        try:
            return self.client().get(path).status
        except (urllib3.exceptions.HTTPError, AssertionError):
            return 0

    def run_in_app(self, script: str) -> str:
        """Run Python in the container that serves and return what it printed."""
        return self.remote.docker("exec", self.app, "python", "-c", script).strip()

    def readiness(self) -> dict[str, Any]:
        """Return what /readyz answers inside: nginx keeps it from the outside."""
        url = "http://127.0.0.1:5000/readyz"
        script = f"import urllib.request as r; print(r.urlopen('{url}').read().decode())"
        answer: dict[str, Any] = json.loads(self.run_in_app(script))
        return answer

    def query(self, sql: str, account: str = "service") -> subprocess.CompletedProcess[str]:
        """Run SQL as one of MySQL's accounts; rows are lines of tab-separated fields."""
        options = f"--defaults-extra-file=/run/secrets/{account}.cnf"
        command = f'sudo docker exec {MYSQL} mysql {options} --skip-column-names -e "{sql}" orders'
        return self.remote.try_ssh(command)

    def access_log(self) -> list[str]:
        """Return nginx's line for each request."""
        text = self.remote.docker("logs", NGINX)
        return [line for line in text.splitlines() if line.startswith("{")]

    def accesses(self, field: str, value: str) -> list[dict[str, str]]:
        """Return nginx's lines, parsed, whose field has this value."""
        return accesses(self.access_log(), field, value)

    def logs(self, service: str) -> str:
        """Return what a container has written, both streams."""
        name = self.app if service == "app" else f"order-service-{service}-1"
        return self.remote.ssh(f"sudo docker logs {name} 2>&1")

    def ledger(self) -> dict[str, Any]:
        """Return the ledger of releases."""
        text = self.remote.ssh(f"cat {ROOT}/state/ledger.json")
        ledger: dict[str, Any] = json.loads(text)
        return ledger

    def running(self) -> set[str]:
        """Return the names of the containers that run."""
        return set(self.remote.docker("ps", "--format", "{{.Names}}").split())

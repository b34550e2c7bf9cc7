"""A shop on several hosts: what each of them is there for, and what its clients reach."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self

from tests.support.checkout import Checkout
from tests.support.control_node import ControlNode
from tests.support.deployment import MYSQL, Deployment
from tests.support.docker import docker
from tests.support.remote_host import RemoteHost
from tests.support.stack import StackClient

ATTEMPTS = 20


class Container(Protocol):
    """What has a container of its own: a host, or a server."""

    name: str


class PrivateNetwork:
    """How hosts reach each other: by addresses that they keep, unlike Docker's own."""

    def __init__(self) -> None:
        self._name = f"orders-private-{secrets.token_hex(4)}"
        self._numbers = count(11)
        self._addresses: dict[str, str] = {}

    def __enter__(self) -> Self:
        for attempt in range(ATTEMPTS):
            self._subnet = f"10.{random.randint(100, 199)}.{random.randint(0, 255)}"
            subnet = f"--subnet={self._subnet}.0/24"
            try:
                docker("network", "create", "--internal", subnet, self._name)
            except AssertionError as problem:
                if "overlaps" not in str(problem) or attempt == ATTEMPTS - 1:
                    raise
            else:
                return self
        raise AssertionError("no network was free")

    def __exit__(self, *_: object) -> None:
        # Some hosts outlive it, and some were lost.
        form = "--format={{range .Containers}}{{.Name}} {{end}}"
        for name in docker("network", "inspect", form, self._name).split():
            docker("network", "disconnect", "--force", self._name, name)
        docker("network", "rm", self._name)

    def join(self, host: Container) -> None:
        """Give a host an address here."""
        address = f"{self._subnet}.{next(self._numbers)}"
        docker("network", "connect", f"--ip={address}", self._name, host.name)
        self._addresses[host.name] = address

    def address(self, host: Container) -> str:
        """Return where the other hosts reach this one."""
        return self._addresses[host.name]


class GroupsNode(ControlNode):
    """A control node whose inventory has groups, by what hosts are there for."""

    groups: Mapping[str, list[RemoteHost]]
    network: PrivateNetwork

    def inventory(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inventory that a user would have written for these hosts."""
        flat = super().inventory(variables)["order_service"]
        for host in self.hosts:
            flat["hosts"][host.name]["private_address"] = self.network.address(host)
        children = {
            part: {"hosts": {host.name: flat["hosts"][host.name] for host in hosts}}
            for part, hosts in self.groups.items()
        }
        return {"order_service": {"children": children, "vars": flat["vars"]}}


def private_address(host: RemoteHost) -> str:
    """Return where others reach a host until it starts anew: then Docker may give it another."""
    return docker("inspect", "--format={{.NetworkSettings.IPAddress}}", host.name).strip()


def query_as_root(host: RemoteHost, sql: str) -> str:
    """Run SQL as root in a database host's MySQL and return its rows."""
    script = (
        "mysql --defaults-extra-file=/run/secrets/root.cnf --protocol=socket"
        f' --skip-column-names --batch --execute="{sql}" orders'
    )
    return host.docker("exec", MYSQL, "sh", "-c", script)


class Shop:
    """All hosts of a shop, seen from outside and from their consoles."""

    def __init__(self, checkout: Checkout, node: GroupsNode) -> None:
        self.checkout, self.node = checkout, node
        self.webs = [self._deployment(host) for host in node.groups["web"]]
        self.workers = [self._deployment(host) for host in node.groups["worker"]]
        self.databases = list(node.groups["database"])
        (self.balancer,) = node.groups["balancer"]

    def _deployment(self, host: RemoteHost) -> Deployment:
        return Deployment(host, self.checkout, self.node)

    @property
    def ca(self) -> Path:
        """The authority's certificate, which the playbook has fetched."""
        return self.node.ansible_folder / "fetched" / self.webs[0].remote.name / "ca.crt"

    def client(self, password: str = "") -> StackClient:
        """Return a client that calls the balancer, and verifies."""
        return StackClient(443, self.ca, self.balancer.address, password or self.webs[0].password)

    def query(self, sql: str) -> str:
        """Run SQL as root on the first database host and return its rows."""
        return query_as_root(self.databases[0], sql)

    def releases(self) -> dict[str, str]:
        """Return the release that each web and worker host has in its ledger as the active one."""
        return {one.remote.name: one.ledger()["active"] for one in self.webs + self.workers}


def new_shop(
    boot: Callable[[], RemoteHost],
    network: PrivateNetwork,
    checkout: Checkout,
    folder: Path,
    **variables: Any,
) -> Shop:
    """Boot the smallest shop that has each part, with two web hosts."""
    groups = {"web": 2, "worker": 1, "database": 1, "balancer": 1}
    hosts = {part: [boot() for _ in range(number)] for part, number in groups.items()}
    every = [host for part in hosts.values() for host in part]
    for host in every:
        network.join(host)
    node = GroupsNode(
        folder, checkout, *every, public_names=[hosts["balancer"][0].address], **variables
    )
    node.groups, node.network = hosts, network
    return Shop(checkout, node)

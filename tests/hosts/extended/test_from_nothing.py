"""From an empty account to curl: provision.yml makes the hosts, and deploy.yml takes them on.

The account is moto's. Its instances are hosts of the lab, with their addresses and SSH keys.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import yaml

from tests.hosts.conftest import SETTINGS, NewHost
from tests.support.aws_account import AwsAccount
from tests.support.aws_machines import let_in, machines
from tests.support.aws_operator import Operator
from tests.support.control_fixtures import NewCheckout
from tests.support.databases import order_body
from tests.support.deployment import PROGRAM, Deployment
from tests.support.polling import wait_until
from tests.support.registry import Registry
from tests.support.remote_host import RemoteHost

PARTS = ("web", "web", "worker", "database", "balancer")
SHOP = {
    "aws_hosts": [
        {"name": "orders-web", "parts": ["web"], "count": 2},
        {"name": "orders-worker", "parts": ["worker"]},
        {"name": "orders-db", "parts": ["database"]},
        {"name": "orders-lb", "parts": ["balancer"]},
    ],
    "aws_backup_bucket": "",
}
DEPLOYMENT_SECONDS = 1500


@pytest.fixture(scope="module")
def hosts(new_mirrored_host: NewHost) -> list[RemoteHost]:
    """What the account's instances are."""
    return [new_mirrored_host() for _ in PARTS]


@pytest.fixture(scope="module")
def operator(
    hosts: list[RemoteHost],
    new_checkout: NewCheckout,
    registry: Registry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Operator]:
    """One who has run provision.yml, and has said what is different in the lab."""
    with ExitStack() as stack:
        account = stack.enter_context(closing(AwsAccount()))
        stack.enter_context(machines(hosts))
        folder = tmp_path_factory.mktemp("operator")
        operator = Operator(folder, new_checkout, account.environment)
        stack.enter_context(closing(operator))
        operator.run("provision.yml", **SHOP).succeeded()
        let_in(hosts, (operator.stage / ".ssh" / "id_ed25519.pub").read_text())
        lab = SETTINGS | {"docker_registry_mirrors": [registry.url]}
        with (operator.stage / "group_vars/order_service/settings.yml").open("a") as settings:
            settings.write(yaml.safe_dump(lab))
        yield operator


def curl(ca: Path, url: str, *arguments: str) -> str:
    """Return the body of a successful answer."""
    options = ["--silent", "--show-error", "--fail", "--max-time", "20", "--cacert", str(ca)]
    run = subprocess.run(
        ["curl", *options, *arguments, url], capture_output=True, check=False, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_hosts_are_found_by_their_parts_and_reached(
    operator: Operator, hosts: list[RemoteHost]
) -> None:
    listed = operator.listed()
    found = listed["_meta"]["hostvars"]
    addresses = {
        part: {found[name]["ansible_host"] for name in listed[part]["hosts"]} for part in {*PARTS}
    }
    assert addresses == {
        part: {host.address for host, its in zip(hosts, PARTS, strict=True) if its == part}
        for part in {*PARTS}
    }
    run = operator.ping().succeeded()
    assert run.output.count("ping: pong") == len(hosts)


def test_one_more_command_brings_them_into_service(
    operator: Operator, hosts: list[RemoteHost]
) -> None:
    stage = f"--inventory={operator.stage}"
    operator.start_playbook("deploy.yml", stage).wait(DEPLOYMENT_SECONDS).succeeded()
    ca = operator.ansible_folder / "fetched" / "orders-web-1" / "ca.crt"
    web, balancer = hosts[0], f"https://{hosts[-1].address}"
    user = ("--user", f"admin:{Deployment(web, operator.checkout, operator).password}")
    order = ("--header", "Content-Type: application/json", "--data", json.dumps(order_body(1)))
    assert json.loads(curl(ca, f"{balancer}/ping")) == {"message": "success"}
    posted = curl(ca, f"{balancer}/orders", *user, *order)
    assert json.loads(posted)["message"] == "Order received"
    wait_until(
        lambda: json.loads(curl(ca, f"{balancer}/orders/1", *user))["status"] == "Completed",
        30,
        "the end of the order",
    )
    # Each host finds all well, and web hosts that the balancer answers.
    for host in hosts[:-1]:
        told = host.sudo(f"{PROGRAM} status")
        assert ("balancer" in told) == (host in hosts[:2])

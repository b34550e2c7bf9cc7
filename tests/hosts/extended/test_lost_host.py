"""A host that is really lost, with 100,000 orders: a second fresh one serves its clients as it did.

By the two commands of the guide, deploy.yml and restore.yml, from the copies at a third place. One
story, in its order: each test goes on from where the one before has left the hosts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.hosts.conftest import SETTINGS, NewHost
from tests.support.control_fixtures import NewCheckout, NewControlNode
from tests.support.databases import order_body
from tests.support.deployment import MYSQL, Deployment
from tests.support.passwords import volume
from tests.support.polling import wait_until
from tests.support.registry import Registry
from tests.support.stack import StackClient
from tests.support.vault import Vault

ORDERS = 100_000
# As REMOTE_SERVER_SETUP.md says: a minute for each 100,000 orders, and what a restart takes.
GUIDE_SECONDS = 180
SECRETS = ("auth_password", "webhook_secret", "events_secret")
FILL = (
    "SET SESSION cte_max_recursion_depth = 1000000; INSERT INTO orders.orders (order_id, user_id,"
    " item_ids, total_amount, outcome, attempts, processing_microseconds, created_at, updated_at)"
    f" WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ORDERS})"
    " SELECT 50000000 + i, i % 997 + 1, JSON_ARRAY(i, i + 1), i / 100, 'Completed', 1, 1000,"
    " NOW(6), NOW(6) FROM n; UPDATE orders.order_totals SET completed = completed +"
    f" {ORDERS} WHERE slot = 0"
)
UNFINISHED = "SELECT COUNT(*) FROM orders WHERE outcome IS NULL"
ALL_ROWS = "SELECT COUNT(*), SUM(order_id), SUM(total_amount), COUNT(outcome) FROM orders"


@dataclass
class Place:
    """Where hosts come from and where their copies go to; the key to these is not on any host."""

    key: Path
    deploy: Callable[[], Deployment]


@pytest.fixture(scope="module")
def place(
    new_mirrored_host: NewHost,
    new_checkout: NewCheckout,
    new_control_node: NewControlNode,
    registry: Registry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Place:
    """A destination on a host of its own, and nothing else so far."""
    checkout = new_checkout()
    vault = Vault(new_mirrored_host, tmp_path_factory.mktemp("age"))
    settings: dict[str, Any] = {
        **SETTINGS,
        "api_clients": [{"name": "shop", "scopes": ["orders:write", "orders:read"]}],
        **vault.settings(),
        "docker_registry_mirrors": [registry.url],
    }

    def deploy() -> Deployment:
        host = new_mirrored_host(vault=vault.address)
        deployed = Deployment(host, checkout, new_control_node(checkout, host, **settings))
        told = " ".join(deployed.deploy().output.split())
        assert "Append to the authorized_keys of its user: restrict ssh-ed25519" in told
        vault.let_in(host)
        return deployed

    return Place(vault.key, deploy)


@dataclass
class Known:
    """What is known of a host outside of it."""

    rows: str
    secrets: dict[str, str]
    ca: bytes

    @classmethod
    def of(cls, deployed: Deployment) -> Known:
        places = {name: f"{volume('service-secrets')}/{name}" for name in SECRETS}
        places["client_shop"] = f"{volume('migrate-secrets')}/client_shop"
        secrets = {
            name: deployed.remote.sudo(f"cat {path}").strip() for name, path in places.items()
        }
        return cls(deployed.query(ALL_ROWS).stdout, secrets, deployed.ca.read_bytes())


@pytest.fixture(scope="module")
def known(place: Place) -> Known:
    """What clients know of a host that has served them, and is gone."""
    lost = place.deploy()
    known = serve_and_back_up(lost)
    lost.remote.close()
    return known


@pytest.fixture(scope="module")
def second(known: Known, place: Place) -> Deployment:  # noqa: ARG001 - that host is first
    """A fresh host, which at first is one of its own."""
    return place.deploy()


@pytest.fixture
def client(known: Known, second: Deployment, tmp_path: Path) -> StackClient:
    """A client of the lost host: it has that one's authority and password, and asks the second."""
    (tmp_path / "ca.crt").write_bytes(known.ca)
    return StackClient(443, tmp_path / "ca.crt", second.host, known.secrets["auth_password"])


def test_a_host_has_served_many_orders_and_is_lost(known: Known) -> None:
    assert known.rows.split()[0] == str(ORDERS + 1)


def test_a_second_fresh_host_becomes_the_lost_one(
    known: Known, second: Deployment, place: Place
) -> None:
    own = Known.of(second)
    assert own.ca != known.ca
    assert not set(own.secrets.values()) & set(known.secrets.values())
    run = second.node.playbook(
        "restore.yml",
        confirm=f"replace live data of {second.remote.name}",
        restore_from="offsite",
        restore_identity_file=str(place.key),
        restore_to="live",
        restore_until="latest",
    )
    assert run.seconds < GUIDE_SECONDS
    assert "a restore to live stops the service for about" in " ".join(run.output.split())
    assert "stopped_seconds" in run.output
    assert Known.of(second) == known
    # No disk has the private key.
    secret = place.key.read_text().splitlines()[-1]
    folders = "/run /tmp /var/tmp /var/backups /root /home /etc /opt"
    assert second.remote.try_ssh(f"sudo grep -rlsF {secret} {folders}").stdout == ""


def test_its_clients_are_served_as_before(
    known: Known, second: Deployment, client: StackClient
) -> None:
    again = client.post(order_body(1), **{"Idempotency-Key": "first"})
    assert (again.status, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert client.post(order_body(50_000_001)).status == 409
    assert client.get("/metrics").json()["total_orders"] == ORDERS + 1
    assert shop_reads(client, known) == 200
    assert client.post(order_body(2)).status == 201
    wait_for_the_last(second)


def test_the_next_deployment_leaves_that_as_it_is(
    known: Known, second: Deployment, client: StackClient
) -> None:
    second.deploy("--tags", "certificates,release")
    after = Known.of(second)
    assert (after.secrets, after.ca) == (known.secrets, known.ca)
    assert shop_reads(client, known) == 200


def serve_and_back_up(deployed: Deployment) -> Known:
    """Have orders in the backup and one in the binary logs after it."""
    deployed.remote.ssh(
        f"sudo docker exec {MYSQL} mysql --defaults-extra-file=/run/secrets/service.cnf"
        f' --execute="{FILL}" orders',
        seconds=300,
    )
    deployed.node.playbook("backup.yml")
    assert deployed.client().post(order_body(1), **{"Idempotency-Key": "first"}).status == 201
    wait_for_the_last(deployed)
    deployed.remote.sudo("systemctl start order-service-binlog.service", seconds=60)
    return Known.of(deployed)


def shop_reads(client: StackClient, known: Known) -> int:
    """Return the status that a client of the API gets, with the secret that it has."""
    shop = urllib3.make_headers(basic_auth=f"shop:{known.secrets['client_shop']}")
    return client.get("/orders/50000001", **shop).status


def wait_for_the_last(deployed: Deployment) -> None:
    """Wait until all orders have ended."""
    wait_until(lambda: deployed.query(UNFINISHED).stdout.strip() == "0", 60, "the last order's end")

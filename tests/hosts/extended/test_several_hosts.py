"""A shop on five hosts: two web hosts and a worker on one database, behind HAProxy.

One story, in its order: each test goes on from where the one before has left the hosts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.hosts.conftest import SETTINGS, NewHost
from tests.support.control_fixtures import NewCheckout
from tests.support.databases import order_body
from tests.support.deployment import NGINX, RELEASE_ONLY
from tests.support.docker import docker
from tests.support.passwords import volume
from tests.support.polling import wait_until
from tests.support.registry import Registry
from tests.support.releases import BREAKS_BEHIND_NGINX, MIGRATION, NEXT, VERSIONS
from tests.support.remote_host import CLOSED_PORTS, OPEN_PORTS
from tests.support.several_hosts import PrivateNetwork, Shop, new_shop
from tests.support.traffic import Traffic

# Each host answers a request within this time, or it is not asked any more.
FAILOVER_SECONDS = 10
BREAKS = "/run/secrets/breaks"
ATTEMPTS = "SELECT order_id, outcome, attempts FROM orders WHERE order_id IN ({})"


@pytest.fixture(scope="module")
def shop(
    new_mirrored_host: NewHost,
    new_checkout: NewCheckout,
    registry: Registry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    """Five bare hosts after one command."""

    mirrors = {"docker_registry_mirrors": [registry.url]}
    with PrivateNetwork() as network:
        folder = tmp_path_factory.mktemp("node")
        made = new_shop(new_mirrored_host, network, new_checkout(), folder, **SETTINGS, **mirrors)
        try:
            made.node.start_playbook("deploy.yml").wait(1500).succeeded()
            yield made
        finally:
            made.node.close()


@pytest.fixture
def unbroken(shop: Shop) -> Iterator[Shop]:
    """The shop, and its checkout as it was afterwards."""
    good = shop.checkout.head
    yield shop
    shop.checkout.reset(good)


def completed(shop: Shop, accepted: list[int], seconds: float = 60) -> dict[int, int]:
    """Wait until each of these orders is completed; return how many attempts each has taken."""
    found: dict[int, int] = {}

    def all_of_them() -> bool:
        rows = shop.query(ATTEMPTS.format(",".join(map(str, accepted)))).splitlines()
        lines = [row.split("\t") for row in rows]
        found.update({int(number): int(tries) for number, end, tries in lines if end != "NULL"})
        assert len(lines) == len(accepted), f"{len(accepted)} were accepted, {len(lines)} are there"
        assert {end for _, end, _ in lines} <= {"Completed", "NULL"}
        return len(found) == len(accepted)

    wait_until(all_of_them, seconds, "the end of every accepted order")
    return found


def test_bare_hosts_serve_after_one_command(shop: Shop) -> None:
    client = shop.client()
    assert client.get("/ping").json() == {"message": "success"}
    ids = list(range(1, 21))
    assert {client.post(order_body(number)).status for number in ids} == {201}
    assert set(completed(shop, ids).values()) == {1}
    # Each does what it is there for, and nothing else.
    parts = {
        name.removeprefix("order-service-").removesuffix("-1")
        for one in shop.webs
        for name in one.running()
    }
    assert {part.rpartition("-")[2] for part in parts} == {"app", "nginx"}
    (worker,) = shop.workers
    assert [name.split("-")[-2] for name in worker.running()] == ["worker"]
    (database,) = shop.databases
    assert database.docker("ps", "--format={{.Names}}").split() == ["order-service-mysql-1"]
    assert shop.balancer.try_ssh("command -v docker").returncode != 0


def test_clients_are_seen_through_the_balancer(shop: Shop) -> None:
    """Not the balancer's address: the limits are each client's own."""
    assert shop.client().get("/orders/1").status == 200
    balancer = shop.node.network.address(shop.balancer)
    seen = [line["client"] for one in shop.webs for line in one.accesses("path", "/orders/1")]
    assert seen
    assert balancer not in seen


def test_hosts_reach_each_other_and_nobody_else_does(shop: Shop) -> None:
    request = b"GET /ping HTTP/1.0\r\n\r\n"
    answered = {
        host.name: {port for port in OPEN_PORTS + CLOSED_PORTS if host.banner(port, request)}
        for host in shop.node.hosts
    }
    only_ssh = {host.name for host in shop.node.hosts if host is not shop.balancer}
    assert {name for name, ports in answered.items() if ports == {22}} == only_ssh
    assert answered[shop.balancer.name] == set(OPEN_PORTS)
    # The database asks for TLS, whoever calls.
    refused = shop.webs[0].run_in_app(
        "import pymysql\n"
        "from pathlib import Path\n"
        "from sqlalchemy.engine import make_url\n"
        "url = make_url(Path('/run/secrets/database_url').read_text())\n"
        "try:\n"
        "    pymysql.connect(host=url.host, port=url.port, user=url.username,"
        " password=url.password, ssl_disabled=True)\n"
        "except pymysql.Error as error:\n"
        "    print(error.args[0])"
    )
    # ER_SECURE_TRANSPORT_REQUIRED, or access denied to an account that requires it.
    assert refused in ("3159", "1045")


def test_the_second_run_changes_nothing(shop: Shop) -> None:
    run = shop.node.playbook("deploy.yml")
    assert {name: recap.changed for name, recap in run.recaps.items() if recap.changed} == {}
    status = shop.node.playbook("status.yml")
    assert status.recaps.keys() == {host.name for host in shop.node.hosts}


def test_a_release_and_the_way_back_are_noticed_by_no_client(shop: Shop) -> None:
    old = shop.releases()
    assert len(set(old.values())) == 1
    shop.checkout.write(f"{VERSIONS}/{NEXT}_note.py", MIGRATION)
    new = shop.checkout.commit("Another release")[:12]
    with Traffic(shop.client()) as sent:
        shop.node.playbook("deploy.yml", *RELEASE_ONLY)
        assert set(shop.releases().values()) == {new}
        sent.flows()
        shop.node.playbook("rollback.yml")
        assert shop.releases() == old
        sent.flows()
    sent.assert_unharmed()
    assert set(completed(shop, sent.accepted).values()) == {1}
    assert shop.query("SELECT version_num FROM alembic_version").split() == [NEXT]
    shop.node.playbook("deploy.yml", *RELEASE_ONLY)


def test_a_release_that_breaks_on_the_second_host_is_taken_back_on_all(unbroken: Shop) -> None:
    shop = unbroken
    old = shop.releases()
    last = shop.webs[-1]
    condition = f"__import__('os').path.exists('{BREAKS}')"
    shop.checkout.write("wsgi.py", BREAKS_BEHIND_NGINX.format(condition=condition))
    broken = shop.checkout.commit("Breaks on one host")[:12]
    place = f"{volume('service-secrets')}/{BREAKS.rpartition('/')[2]}"
    last.remote.sudo(f"touch {place}")
    with Traffic(shop.client()) as sent:
        run = shop.node.try_playbook("deploy.yml", *RELEASE_ONLY, bake_seconds=20)
        sent.flows()
    last.remote.sudo(f"rm {place}")
    assert run.returncode != 0
    assert f"{broken} does not serve" in run.output
    assert last.remote.name in run.output
    assert shop.releases() == old
    assert shop.webs[0].readiness()["release"] == old[shop.webs[0].remote.name]
    # What it answers before it is taken back is all that clients notice.
    assert [problem for problem in sent.problems if ": 500 " not in problem] == []


def test_passwords_change_on_all_hosts_without_a_refused_request(shop: Shop) -> None:
    former = shop.webs[0].password
    with Traffic(shop.client()) as sent:
        shop.node.playbook("credentials.yml", "-e", "rotate=all")
        sent.flows()
        assert {one.password for one in shop.webs} == {shop.webs[0].password}
        assert shop.webs[0].password != former
        with Traffic(shop.client()) as with_new:
            with_new.flows()
        with_new.assert_unharmed()
    sent.assert_unharmed()
    shop.node.playbook("credentials.yml", "-e", "retire=api")
    assert shop.client(former).get("/orders?limit=1").status == 401
    assert set(completed(shop, sent.accepted).values()) == {1}


def test_a_web_host_is_restarted_without_a_failed_request(shop: Shop) -> None:
    web = shop.webs[0]
    before = web.remote.inside("cat /proc/1/stat").split()[21]
    with Traffic(shop.client()) as sent:
        shop.node.playbook("drain.yml", "-e", "drain=true", "--limit", web.remote.name)
        web.remote.restart()
        shop.node.playbook("drain.yml", "-e", "drain=false", "--limit", web.remote.name)
        sent.flows()
    assert web.remote.inside("cat /proc/1/stat").split()[21] != before
    sent.assert_unharmed()
    served = len(web.access_log())
    with Traffic(shop.client()) as later:
        later.flows()
    later.assert_unharmed()
    wait_until(lambda: len(web.access_log()) > served, 10, "requests to the host that is back")


def test_a_web_host_that_dies_costs_what_it_had_at_work(shop: Shop) -> None:
    dead = shop.webs[1].remote
    with Traffic(shop.client()) as sent:
        sent.flows()
        docker("kill", dead.name)
        died = time.gmtime()
        time_of_death = time.strftime("%H:%M:%S", died)
        sent.flows(60)
        docker("start", dead.name)
        dead.wait_booted()
        sent.flows()
    late = time.strftime("%H:%M:%S", time.gmtime(time.mktime(died) + FAILOVER_SECONDS))
    times = [problem.split()[0] for problem in sent.problems]
    assert [moment for moment in times if not time_of_death <= moment <= late] == []
    assert set(completed(shop, sent.accepted).values()) == {1}
    # And comes back by itself.
    wait_until(lambda: NGINX in shop.webs[1].running(), 60, "nginx on the host that is back")


def test_a_worker_host_that_dies_with_orders_at_work_loses_none(shop: Shop) -> None:
    (worker,) = shop.workers
    client = shop.client()
    with Traffic(client, pause=0.05) as sent:
        sent.flows()
        worker.remote.cut_power()
        sent.flows(60)
    sent.assert_unharmed()
    tries = completed(shop, sent.accepted, 120)
    assert set(tries.values()) <= {1, 2}

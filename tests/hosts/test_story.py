"""The life of one host, from bare to a lost disk, under traffic.

One story, in its order: each test goes on from where the one before has left the host.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.support.databases import order_body
from tests.support.deployment import MYSQL, RELEASE_ONLY, ROOT, Deployment
from tests.support.load import Load
from tests.support.passwords import (
    ACCOUNTS,
    cut_off_rotation,
    database_passwords,
    may_log_in,
    places_that_show,
    status_of,
    volume,
)
from tests.support.polling import wait_until
from tests.support.releases import (
    BREAKS_BEHIND_NGINX,
    MIGRATION,
    assert_completed_once,
    is_unlocked,
    roll_out_by_hand,
)
from tests.support.remote_host import CLOSED_PORTS, OPEN_PORTS
from tests.support.traffic import Traffic

# The uid of the container that reads a volume's secrets.
OWNERS = {"mysql-secrets": "999", "migrate-secrets": "10001", "service-secrets": "10001"}
STORE = "/var/backups/order-service"
COPIES = "/home/admin/copies"
# Cut off here, the new passwords are in use and the former ones still accepted.
CUT = ("credentials", "_switch", "after")


def traffic(deployment: Deployment) -> Traffic:
    return Traffic(deployment.client())


def test_a_bare_host_serves_after_one_command(deployment: Deployment) -> None:
    """With images that it has pulled, and a certificate that clients verify."""
    client = deployment.client()
    assert client.get("/ping").json() == {"message": "success"}
    assert client.post(order_body(1)).status == 201
    assert_completed_once(deployment, [1])
    assert status_of(deployment, "a wrong one") == 401
    digest = deployment.remote.docker("image", "ls", "--format={{.Digest}}", "mysql")
    assert digest.startswith("sha256:")


def test_nothing_but_ssh_and_the_web_is_reached_from_outside(deployment: Deployment) -> None:
    remote = deployment.remote
    request = b"GET / HTTP/1.0\r\n\r\n"
    # Something answers there inside, so that it is the firewall that keeps it in.
    remote.sudo("systemd-run --quiet --unit=inside python3 -m http.server 8080")
    inside = "curl --silent --output /dev/null http://127.0.0.1:8080"
    wait_until(lambda: remote.try_ssh(inside).returncode == 0, 30, "the server inside")
    answered = {port for port in OPEN_PORTS + CLOSED_PORTS if remote.banner(port, request)}
    remote.sudo("systemctl stop inside")
    assert answered == set(OPEN_PORTS)
    assert remote.refusal().endswith("Permission denied (publickey).")


def test_the_second_run_changes_nothing(deployment: Deployment) -> None:
    before = deployment.ledger(), deployment.colour
    assert deployment.deploy().recap.changed == 0
    assert (deployment.ledger(), deployment.colour) == before
    assert is_unlocked(deployment)


def test_a_release_and_the_way_back_are_noticed_by_no_client(deployment: Deployment) -> None:
    """The next release brings a migration, so the way back is older code on a newer schema.

    From then on a container of its own processes the orders.
    """
    old, old_colour = deployment.readiness()["release"], deployment.colour
    deployment.checkout.write("service/migrations/versions/0002_note.py", MIGRATION)
    deployment.node.variables |= {"worker_threads": 16, "processor_threads": 0}
    new = deployment.new_release()
    with traffic(deployment) as sent:
        deployment.deploy(*RELEASE_ONLY)
        assert deployment.readiness()["release"] == new
        assert deployment.colour != old_colour
        sent.flows()
        deployment.node.playbook("rollback.yml")
        assert deployment.readiness()["release"] == old
        assert deployment.colour == old_colour
        sent.flows()
    sent.assert_unharmed()
    assert set(assert_completed_once(deployment, sent.accepted)) == {1}
    assert deployment.query("SELECT version_num FROM alembic_version").stdout.split() == ["0002"]
    assert deployment.running() == {
        f"order-service-{old_colour}-app-1",
        f"order-service-{old_colour}-worker-1",
        "order-service-mysql-1",
        "order-service-nginx-1",
    }


def test_a_release_that_answers_500_is_taken_back(broken: Deployment) -> None:
    """Its smoke tests pass: only what clients get shows that it is broken."""
    deployment = broken
    old, old_colour = deployment.readiness()["release"], deployment.colour
    condition = "len(environ['PATH_INFO']) in range(11, 18)"
    deployment.checkout.write("wsgi.py", BREAKS_BEHIND_NGINX.format(condition=condition))
    deployment.new_release()
    with traffic(deployment) as sent:
        run = deployment.try_deploy(*RELEASE_ONLY, bake_seconds=30)
    assert run.returncode != 0
    assert "answers since the switch were 5xx" in run.output
    assert f"switched nginx back to {old_colour}" in run.output
    assert (deployment.readiness()["release"], deployment.colour) == (old, old_colour)
    # Clients do see what only shows after the switch; every order is the old or the new one's.
    assert [problem for problem in sent.problems if ": 500 " not in problem] == []
    with traffic(deployment) as later:
        later.flows()
    later.assert_unharmed()


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        ({"breakage": 'CMD ["sleep", "300"]'}, "did not get ready within 8 s"),
        ({"headers": "add_header Sense;"}, 'invalid number of arguments in "add_header"'),
    ],
    ids=["never ready", "nginx refuses it"],
)
def test_what_is_broken_before_the_switch_is_never_served(
    deployment: Deployment, breakage: dict[str, str], message: str
) -> None:
    old = deployment.readiness()["release"], deployment.colour
    with traffic(deployment) as sent:
        run = roll_out_by_hand(deployment, **breakage)
        sent.flows()
    sent.assert_unharmed()
    assert run.returncode == 1, run.stdout
    assert message in run.stdout + run.stderr
    assert (deployment.readiness()["release"], deployment.colour) == old


def test_a_control_node_that_is_killed_and_the_next_good_release(deployment: Deployment) -> None:
    """What had begun on the host ends there, in one of two good states."""
    old, other = deployment.readiness()["release"], {"blue": "green", "green": "blue"}
    starting = f"order-service-{other[deployment.colour]}-app-1"
    cut_off = deployment.new_release("The one that is cut off")
    with traffic(deployment) as sent:
        running = deployment.node.start_playbook("deploy.yml", *RELEASE_ONLY)
        wait_until(lambda: starting in deployment.running(), 180, "the rollout", every=0.2)
        running.kill()
        running.wait(30)
        wait_until(lambda: is_unlocked(deployment), 180, "a free lock", every=0.5)
        assert deployment.readiness()["release"] in (old, cut_off)
        release = deployment.new_release("A good one")
        deployment.deploy(*RELEASE_ONLY)
        sent.flows()
    sent.assert_unharmed()
    assert deployment.readiness()["release"] == release
    assert len([name for name in deployment.running() if name.endswith("-app-1")]) == 1


def test_all_passwords_are_changed_and_no_client_notices(deployment: Deployment) -> None:
    """The first change is cut off, and MySQL then restarts with the accounts' file.

    The former API password works until it is retired, the new one from the change on.
    """
    old, old_database = deployment.password, database_passwords(deployment)
    cut_off_rotation(deployment, *CUT)
    deployment.remote.docker("restart", MYSQL)
    wait_until(lambda: _serves(deployment), 60, "orders to be served again", every=0.5)
    with traffic(deployment) as with_old:
        changed = deployment.node.playbook("credentials.yml", "-e", "rotate=all")
        with_old.flows()
    with traffic(deployment) as with_new:
        with_new.flows()
        deployment.node.playbook("credentials.yml", "-e", "retire=api")
        with_new.flows()
    with_old.assert_unharmed()
    with_new.assert_unharmed()
    new, new_database = deployment.password, database_passwords(deployment)
    assert (status_of(deployment, old), status_of(deployment, new)) == (401, 200)
    for account in ACCOUNTS:
        assert not may_log_in(deployment, account, old_database[account])
        assert may_log_in(deployment, account, new_database[account])
    assert changed.recap.changed > 0
    assert "rotation.json" not in deployment.remote.sudo(f"ls {ROOT}/state")
    for name, owner in OWNERS.items():
        readers = deployment.remote.sudo(f"cd {volume(name)} && stat --format='%u %a' *")
        assert set(readers.splitlines()) == {f"{owner} 400"}
    assert places_that_show(deployment, {old, new, *new_database.values()}) == []


def test_a_power_cut_loses_no_order(deployment: Deployment) -> None:
    before = deployment.running()
    with Load(deployment.client(), first_id=30_000_000, pause=0.2) as load:
        load.wait_for_more(200, seconds=60)
        deployment.remote.cut_power()
        wait_until(lambda: _serves(deployment), 120, "the stack after the host's start", every=0.5)
        load.wait_for_more(20, seconds=60)
    assert load.problems == []
    wait_until(lambda: deployment.running() == before, 60, "all containers", every=0.5)
    attempts = assert_completed_once(deployment, load.accepted)
    interrupted = [number for number in attempts if number > 1]
    assert interrupted, "no order was being processed when the power was cut: nothing was shown"


def test_backups_go_off_the_host_as_soon_as_the_destination_lets_them(
    deployment: Deployment,
) -> None:
    remote = deployment.remote
    remote.ssh(f"mkdir -p {COPIES}")
    deployment.node.variables |= {"backup_destination": f"admin@127.0.0.1:{COPIES}"}
    refused = deployment.node.try_playbook("backup.yml")
    assert refused.returncode != 0
    assert "Append to the authorized_keys" in " ".join(refused.output.split())
    assert _backup(deployment)["outcome"] == "failed"
    public = remote.sudo("cat /etc/order-service/backup_key.pub").strip()
    remote.ssh(f"echo '{public}' >> ~/.ssh/authorized_keys")
    with traffic(deployment) as sent:
        deployment.node.playbook("backup.yml")
        sent.flows()
    sent.assert_unharmed()
    made = _backup(deployment)
    assert made["outcome"] == "ok"
    kept = remote.sudo(f"sha256sum {STORE}/{made['id']}/*").replace(STORE, "")
    assert remote.sudo(f"sha256sum {COPIES}/{made['id']}/*").replace(COPIES, "") == kept


def test_a_lost_disk_comes_back_from_the_copy_off_the_host(deployment: Deployment) -> None:
    remote = deployment.remote
    assert deployment.client().post(order_body(7_400_000)).status == 201
    unfinished = "SELECT order_id FROM orders WHERE outcome IS NULL"
    wait_until(lambda: _rows(deployment, unfinished) == [], 60, "the last order's end")
    remote.sudo("systemctl start order-service-binlog.service")
    lost = _orders(deployment)
    assert lost
    remote.sudo(
        f"docker rm --force {MYSQL} && docker volume rm order-service_mysql-data"
        f" && rm -rf {STORE}/2* {STORE}/binlogs {STORE}/last-*",
        seconds=60,
    )
    deployment.deploy(allow_interruption=True)
    assert _orders(deployment) == []
    deployment.node.playbook(
        "restore.yml",
        restore_to="live",
        confirm=f"replace live data of {remote.name}",
        restore_from="offsite",
        restore_until="latest",
    )
    assert _orders(deployment) == lost
    assert deployment.client().post(order_body(7_400_001)).status == 201


def test_status_says_what_runs_and_that_all_is_well(deployment: Deployment) -> None:
    run = deployment.node.playbook("status.yml")
    assert run.recap.changed == 0
    for expected in (
        rf"release +{deployment.ledger()['active']} in {deployment.colour}, deployed .* by \S+@\S+",
        rf"container +{deployment.colour}-worker-1: Up ",
        r"container +mysql-1: Up .*healthy",
        r"certificate +valid until \d{4}-\d\d-\d\d \d\d:\d\d, \d+ days",
        r"disk +[\d.]+ of [\d.]+ GiB free",
        r"lock +nobody deploys",
    ):
        assert re.search(expected, run.output), f"{expected}\n{run.output}"
    assert "!!" not in run.output
    deployment.remote.docker("stop", "order-service-nginx-1")
    run = deployment.node.try_playbook("status.yml")
    assert run.returncode == 2
    assert "!! container" in run.output
    deployment.remote.docker("start", "order-service-nginx-1")


def _serves(deployment: Deployment) -> bool:
    return deployment.try_status("/orders?limit=1") == 200


def _orders(deployment: Deployment) -> list[str]:
    return _rows(deployment, "SELECT order_id, outcome FROM orders ORDER BY 1")


def _rows(deployment: Deployment, sql: str) -> list[str]:
    asked = deployment.query(sql)
    assert asked.returncode == 0, asked.stderr
    return asked.stdout.splitlines()


def _backup(deployment: Deployment) -> dict[str, str]:
    state: dict[str, str] = json.loads(deployment.remote.sudo(f"cat {STORE}/last-backup.json"))
    return state

"""The life of one host, continued: new passwords, a power cut, backups and a lost disk."""

from __future__ import annotations

import json
import re

from tests.support.databases import order_body
from tests.support.deployment import MYSQL, ROOT, Deployment
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
from tests.support.releases import assert_completed_once, checkout_of_another_program
from tests.support.traffic import Traffic

# The uid of the container that reads a volume's secrets.
OWNERS = {
    "mysql-secrets": "999",
    "migrate-secrets": "10001",
    "service-secrets": "10001",
    "monitoring-secrets": "65534",
}
STORE = "/var/backups/order-service"
COPIES = "/home/admin/copies"
# Cut off here, the new passwords are in use and the former ones still accepted.
CUT = ("rotation", "switch", "after")


def traffic(deployment: Deployment) -> Traffic:
    return Traffic(deployment.client())


def test_all_passwords_are_changed_and_no_client_notices(deployment: Deployment) -> None:
    """The first change is cut off, and MySQL then restarts with the accounts' file.

    The former API password works until it is retired, the new one from the change on.
    """
    old, old_database = deployment.password, database_passwords(deployment)
    former = deployment.client()
    cut_off_rotation(deployment, *CUT)
    deployment.remote.docker("restart", MYSQL)
    wait_until(lambda: _serves(deployment), 60, "orders to be served again", every=0.5)
    with Traffic(former) as with_old:
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
    unprepared = deployment.node.try_playbook("backup.yml")
    assert "rsync is not on this host; run deploy.yml" in " ".join(unprepared.output.split())
    deployment.deploy("--tags", "backup")
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


def test_the_newest_backup_is_restored_on_trial(deployment: Deployment) -> None:
    before, running = _orders_at_rest(deployment), deployment.running()
    with checkout_of_another_program(deployment):
        trial = deployment.node.playbook("restore.yml")
    assert _backup(deployment)["id"] in trial.output
    assert "matches_manifest: true" in trial.output
    assert (_orders(deployment), deployment.running()) == (before, running)


def test_a_lost_disk_comes_back_from_the_copy_off_the_host(deployment: Deployment) -> None:
    remote = deployment.remote
    assert deployment.client().post(order_body(7_400_000)).status == 201
    lost = _orders_at_rest(deployment)
    assert lost
    remote.sudo("systemctl start order-service-binlog.service")
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
        rf"container +{deployment.colour}-worker-1: Up .*healthy",
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


def _orders_at_rest(deployment: Deployment) -> list[str]:
    """Return all orders, once none of them is unfinished."""
    unfinished = "SELECT order_id FROM orders WHERE outcome IS NULL"
    wait_until(lambda: _rows(deployment, unfinished) == [], 60, "the last order's end")
    return _orders(deployment)


def _rows(deployment: Deployment, sql: str) -> list[str]:
    asked = deployment.query(sql)
    assert asked.returncode == 0, asked.stderr
    return asked.stdout.splitlines()


def _backup(deployment: Deployment) -> dict[str, str]:
    state: dict[str, str] = json.loads(deployment.remote.sudo(f"cat {STORE}/last-backup.json"))
    return state

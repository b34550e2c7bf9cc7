"""Backups of a deployed host: what is lost comes back, as the playbooks promise it.

One story, in its order: each test goes on from where the one before has left the host.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import order_body
from tests.support.deployment import MYSQL, Deployment
from tests.support.polling import wait_until
from tests.support.traffic import Traffic

STORE = "/var/backups/order-service"
COPIES = "/home/admin/copies"
AS_ROOT = (
    "mysql --defaults-extra-file="
    """<(printf '[client]\\npassword="%s"\\n' "$(cat /run/secrets/root_password)") --user=root"""
)


@dataclass
class Story:
    """A deployed host whose backups are encrypted, and copied to another account of its own."""

    deployment: Deployment
    identity: Path
    variables: dict[str, Any]

    def playbook(self, name: str, *arguments: str, **variables: Any) -> str:
        node = self.deployment.node
        return node.playbook(name, *arguments, **self.variables, **variables).output

    def refused(self, name: str, **variables: Any) -> str:
        run = self.deployment.node.try_playbook(name, **self.variables, **variables)
        assert run.returncode != 0, run.output
        # As a reader joins the lines of the output.
        return " ".join(run.output.split())

    def restore_live(self, **variables: Any) -> str:
        return self.playbook("restore.yml", **self.live(), **variables)

    def live(self) -> dict[str, str]:
        return {
            "restore_to": "live",
            "confirm": f"replace live data of {self.deployment.remote.name}",
            "restore_identity_file": str(self.identity),
        }

    def sudo(self, script: str) -> str:
        return self.deployment.remote.sudo(script, seconds=300)

    def state(self, what: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.sudo(f"cat {STORE}/last-{what}.json"))
        return state

    def as_root(self, sql: str) -> None:
        self.deployment.remote.docker("exec", MYSQL, "bash", "-c", f'exec {AS_ROOT} -e "{sql}"')

    def order_ids(self) -> set[int]:
        return set(map(int, self.deployment.query("SELECT order_id FROM orders").stdout.split()))

    def post(self, order_id: int) -> int:
        return self.deployment.client().post(order_body(order_id)).status


@pytest.fixture(scope="module")
def story(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    identity = tmp_path_factory.mktemp("age") / "identity"
    subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
    public = subprocess.run(
        ["age-keygen", "-y", identity], check=True, capture_output=True, text=True
    ).stdout.strip()
    variables = {
        "backup_public_key": public,
        "backup_destination": f"admin@127.0.0.1:{COPIES}",
        "backup_keep_at_least": 50,
    }
    deployment.remote.ssh(f"mkdir -p {COPIES}")
    # It makes the key that the destination has to know.
    deployment.deploy("--tags", "backup", **variables)
    key = deployment.remote.sudo("cat /etc/order-service/backup_key.pub").strip()
    deployment.remote.ssh(f"echo '{key}' >> ~/.ssh/authorized_keys")
    deployment.node.playbook("backup.yml", **variables)
    yield Story(deployment, identity, variables)
    # The tests that come next have a host as they know it.
    deployment.node.playbook("backup.yml")


def test_a_dropped_table_comes_back_as_it_was_at_the_named_second(story: Story) -> None:
    with Traffic(story.deployment.client()) as traffic:
        traffic.flows()
    moment = datetime.now(UTC) + timedelta(seconds=1)
    until = moment.strftime("%Y-%m-%d %H:%M:%S")
    wait_until(lambda: datetime.now(UTC) > moment, 5, "the next second")
    before = story.order_ids()
    assert before.issuperset(traffic.accepted)
    assert story.post(7_200_000) == 201
    story.as_root("DROP TABLE orders.orders")
    assert story.post(7_200_001) == 503
    output = story.restore_live(restore_until=until)
    assert f"{len(before)}" in output
    assert story.order_ids() == before
    assert story.post(7_200_001) == 201
    accepted = "SELECT COUNT(*) FROM orders WHERE outcome IS NULL"
    wait_until(
        lambda: story.deployment.query(accepted).stdout.strip() == "0", 60, "the last completion"
    )


def test_a_restore_to_live_turns_clients_away_for_the_last_dump_alone(story: Story) -> None:
    """It restores, loads and compares while the service serves, and says how long that did not."""
    with Traffic(story.deployment.client()) as traffic:
        traffic.flows()
        output = story.restore_live()
        wait_until(lambda: story.post(7_250_000) in (201, 409), 30, "orders to be accepted again")
    told = re.search(r"stopped_seconds: ([\d.]+)", output)
    assert told
    # What was accepted after the backup is gone with what was replaced.
    away = [
        problem for problem in traffic.problems if " GET " not in problem or "404" not in problem
    ]
    assert away
    assert all(re.search(r": 503 b'\{.*error", problem) for problem in away), away
    first, last = (
        datetime.strptime(one.split()[0], "%H:%M:%S").replace(tzinfo=UTC)
        for one in (away[0], away[-1])
    )
    assert (last - first).total_seconds() <= float(told[1]) + 2
    assert traffic.answers["POST 201"] > 30


def test_a_damaged_backup_is_refused_before_anything_is_touched(story: Story) -> None:
    before = story.order_ids()
    newest = story.state("backup")["id"]
    dump = f"{STORE}/{newest}/orders.sql.zst.age"
    story.sudo(f"cp {dump} /root/dump && truncate -s -100 {dump}")
    output = story.refused("restore.yml", **story.live())
    assert "is damaged" in output
    assert story.order_ids() == before
    assert story.post(7_300_000) == 201
    failed = story.deployment.remote.try_ssh("sudo systemctl start order-service-drill.service")
    assert failed.returncode != 0
    assert story.state("drill")["outcome"] == "failed"
    story.sudo(f"cp /root/dump {dump}")


def test_the_drill_by_its_unit_restores_on_trial_and_notes_it(story: Story) -> None:
    story.sudo("systemctl start order-service-drill.service")
    state = story.state("drill")
    assert state["outcome"] == "ok"
    assert state["rows"] > 0
    assert "order-service-scratch" not in story.deployment.running()
    timers = story.sudo("systemctl list-timers --no-legend 'order-service-*'")
    for name in ("backup", "binlog", "drill"):
        assert f"order-service-{name}.timer" in timers

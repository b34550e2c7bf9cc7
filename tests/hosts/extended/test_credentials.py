"""Passwords that are shown, brought along by the operator, or forgotten by MySQL."""

from __future__ import annotations

import json

from tests.support.deployment import MYSQL, Deployment
from tests.support.passwords import (
    database_passwords,
    may_log_in,
    places_that_show,
    status_of,
    volume,
)
from tests.support.traffic import Traffic

BROUGHT = "brought along by the operator"


def traffic(deployment: Deployment) -> Traffic:
    """Clients with the password that is in use by now."""
    return Traffic(deployment.client())


def test_the_password_is_shown_when_asked_for_only(deployment: Deployment) -> None:
    told = deployment.node.playbook("credentials.yml")
    assert told.recap.changed == 0
    command = told.output.partition("API password")[2].partition("\n")[0].strip()
    assert deployment.remote.ssh(command) == deployment.password
    shown = deployment.node.playbook("credentials.yml", "-e", "show=true")
    webhook = deployment.remote.sudo(f"cat {volume('service-secrets')}/webhook_secret")
    for secret in (deployment.password, webhook, *database_passwords(deployment).values()):
        assert secret not in told.output
        assert secret in shown.output
    deployment.node.runs.remove(shown)


def test_the_vaults_password_wins_and_the_former_one_overlaps(deployment: Deployment) -> None:
    made = deployment.password
    with traffic(deployment) as with_made:
        deployment.deploy("--tags", "release", api_password=BROUGHT)
        with_made.flows()
    with_made.assert_unharmed()
    assert deployment.password == BROUGHT
    assert (status_of(deployment, made), status_of(deployment, BROUGHT)) == (200, 200)
    same = deployment.node.try_playbook("credentials.yml", "-e", "rotate=api", api_password=BROUGHT)
    assert "change it in your Vault file first" in " ".join(same.output.split())
    deployment.node.playbook("credentials.yml", "-e", "retire=api", api_password=BROUGHT)
    assert (status_of(deployment, made), status_of(deployment, BROUGHT)) == (401, 200)

    again = deployment.deploy("--tags", "release", api_password=BROUGHT)
    assert again.recap.changed == 0
    assert places_that_show(deployment, {made, BROUGHT}) == []
    # Without it what is there stays, until a change replaces it: at once, where that is asked.
    overlap = ("-e", "rotate=api", "-e", "rotate_overlap_seconds=0")
    deployment.node.playbook("credentials.yml", *overlap)
    assert deployment.password != BROUGHT
    assert status_of(deployment, BROUGHT) == 401


def test_a_password_that_mysql_forgot_is_told_to_it_by_a_deployment(deployment: Deployment) -> None:
    """As after a restore of MySQL's own tables, or by somebody's hand."""
    sql = "ALTER USER 'backup'@'%' IDENTIFIED BY 'something-else'"
    root = "--defaults-extra-file=/run/secrets/root.cnf"
    deployment.remote.docker("exec", MYSQL, "mysql", root, "--execute", sql)
    password = database_passwords(deployment)["backup"]
    assert not may_log_in(deployment, "backup", password)
    deployment.deploy("--tags", "release")
    assert may_log_in(deployment, "backup", password)
    described = json.loads(deployment.remote.docker("inspect", MYSQL))
    assert described[0]["State"]["Running"]

"""Passwords: made on the host, each its reader's alone, and changed without a refused request."""

from __future__ import annotations

import json
import shlex
from itertools import count

import pytest
import urllib3

from tests.support.deployment import MYSQL, ROOT, Deployment
from tests.support.polling import wait_until
from tests.support.stack import StackClient
from tests.support.traffic import Traffic

CREDENTIALS = f"{ROOT}/lib/credentials.py"
ACCOUNTS = ("migrator", "service", "backup", "root")
# Container's uid by volume.
OWNERS = {"mysql-secrets": "999", "migrate-secrets": "10001", "service-secrets": "10001"}
BROUGHT = "brought along by the operator"
_first_ids = count(60_000_000, 100_000)


def volume(name: str) -> str:
    return f"/var/lib/docker/volumes/order-service_{name}/_data"


def database_passwords(deployment: Deployment) -> dict[str, str]:
    folder = volume("mysql-secrets")
    return {name: deployment.remote.sudo(f"cat {folder}/{name}_password") for name in ACCOUNTS}


def may_log_in(deployment: Deployment, account: str, password: str) -> bool:
    """Try a password of one of MySQL's accounts, as its own clients do."""
    way = "protocol=socket" if account == "root" else "host=127.0.0.1\nprotocol=tcp"
    options = f"[client]\nuser={account}\npassword={password}\n{way}\n"
    client = f"docker exec -i {MYSQL} mysql --defaults-extra-file=/dev/stdin -e 'DO 1'"
    # Piped into sudo, which writes each command that it runs to the journal.
    run = deployment.remote.try_ssh(f"printf %s {shlex.quote(options)} | sudo {client}")
    assert run.returncode == 0 or "Access denied" in run.stderr, run.stderr
    return run.returncode == 0


def status(deployment: Deployment, password: str) -> int:
    client = StackClient(443, deployment.ca, deployment.host, password)
    return client.get("/orders?limit=1").status


def traffic(deployment: Deployment) -> Traffic:
    """Clients with the password that is in use by now."""
    return Traffic(deployment.client(), first_id=next(_first_ids))


def test_each_secret_is_its_readers_alone(deployment: Deployment) -> None:
    for name, owner in OWNERS.items():
        form = "stat --format='%u %a' *"
        told = deployment.remote.sudo(f"cd {volume(name)} && {form}").splitlines()
        assert set(told) == {f"{owner} 400"}


def test_no_secret_is_visible(deployment: Deployment) -> None:
    secrets = {*database_passwords(deployment).values(), deployment.password}
    remote = deployment.remote
    containers = sorted(deployment.running())
    shown = {
        "docker inspect": remote.docker("inspect", *containers),
        # Some of the processes end while they are being looked at.
        "environments": remote.sudo("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"),
        "command lines": remote.sudo("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'"),
        "the settings": remote.sudo(f"cat {ROOT}/stack/.env /etc/order-service/*.json"),
        "the state": remote.sudo(f"cat {ROOT}/state/*.json"),
        "the journal": remote.sudo("journalctl --no-pager --output cat"),
        "the logs": "".join(remote.ssh(f"sudo docker logs {name} 2>&1") for name in containers),
        "the playbooks": "".join(run.output for run in deployment.node.runs),
    }
    for place, text in shown.items():
        assert not any(secret in text for secret in secrets), f"a secret is in {place}"
    kept = remote.sudo("find /root/.ansible /root/.ansible_async -type f 2>/dev/null || true")
    assert kept == ""


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


def test_wrong_requests_are_refused(deployment: Deployment) -> None:
    for given in ("rotate=everything", "rotate_overlap_seconds=5", "retire=database"):
        run = deployment.node.try_playbook("credentials.yml", "-e", given)
        assert run.returncode == 2
        assert "-e rotate=api|database|all" in run.output


def test_all_are_changed_and_no_client_notices(deployment: Deployment) -> None:
    """The former API password works until it is retired, the new one from the change on."""
    old, old_database = deployment.password, database_passwords(deployment)
    with traffic(deployment) as with_old:
        changed = deployment.node.playbook("credentials.yml", "-e", "rotate=all")
        assert changed.recap.changed > 0
        new, new_database = deployment.password, database_passwords(deployment)
        with_old.flows()
        with traffic(deployment) as with_new:
            with_new.flows()
            again = deployment.node.try_playbook("credentials.yml", "-e", "rotate=api")
            assert again.returncode == 2
            assert "end that one first: -e retire=api" in " ".join(again.output.split())
            with_old.__exit__()
            deployment.node.playbook("credentials.yml", "-e", "retire=api")
            with_new.flows()
    with_old.assert_unharmed()
    with_new.assert_unharmed()
    assert (status(deployment, old), status(deployment, new)) == (401, 200)
    for account in ACCOUNTS:
        assert not may_log_in(deployment, account, old_database[account])
        assert may_log_in(deployment, account, new_database[account])
    assert new not in changed.output
    retired = deployment.node.playbook("credentials.yml", "-e", "retire=api")
    assert "UNCHANGED" in retired.output


def test_the_vaults_password_wins_and_the_former_one_overlaps(deployment: Deployment) -> None:
    made = deployment.password
    with traffic(deployment) as with_made:
        deployment.deploy("--tags", "release", api_password=BROUGHT)
        with_made.flows()
    with_made.assert_unharmed()
    assert deployment.password == BROUGHT
    assert (status(deployment, made), status(deployment, BROUGHT)) == (200, 200)
    same = deployment.node.try_playbook("credentials.yml", "-e", "rotate=api", api_password=BROUGHT)
    assert "change it in your Vault file first" in " ".join(same.output.split())
    deployment.node.playbook("credentials.yml", "-e", "retire=api", api_password=BROUGHT)
    assert (status(deployment, made), status(deployment, BROUGHT)) == (401, 200)

    again = deployment.deploy("--tags", "release", api_password=BROUGHT)
    assert again.recap.changed == 0
    test_no_secret_is_visible(deployment)
    # Without it what is there stays, until a change replaces it: at once, where that is asked.
    overlap = ("-e", "rotate=api", "-e", "rotate_overlap_seconds=0")
    deployment.node.playbook("credentials.yml", *overlap)
    assert deployment.password != BROUGHT
    assert status(deployment, BROUGHT) == 401


# Where the program is killed: a function of one of its modules, and whether it has run by then.
CUTS = [
    ("secret_files", "make", "after"),
    ("database_accounts", "_as_root", "after"),
    ("database_accounts", "apply", "before"),
    ("credentials", "_switch", "before"),
    ("credentials", "_switch", "after"),
    ("database_accounts", "discard_former", "after"),
]


@pytest.mark.parametrize("cut", CUTS, ids="-".join)
def test_a_change_that_was_cut_off_is_ended_by_the_next(
    deployment: Deployment, cut: tuple[str, str, str]
) -> None:
    """Even when MySQL was restarted meanwhile, which goes back to the accounts' file."""
    module, function, moment = cut
    old = database_passwords(deployment)
    script = (
        f"import os, sys; sys.path.insert(0, '{ROOT}/lib')\n"
        "import credentials, database_accounts, secret_files\n"
        f"real = {module}.{function}\n"
        "def cut(*given, **named):\n"
        f"    {'real(*given, **named)' if moment == 'after' else 'pass'}\n"
        "    os.kill(os.getpid(), 9)\n"
        f"{module}.{function} = cut\n"
        "sys.argv = ['credentials.py', 'rotate', 'database']\n"
        "credentials.main()\n"
    )
    killed = deployment.remote.try_ssh(f"sudo python3 -B -c {shlex.quote(script)} </dev/null")
    assert killed.returncode in (137, 255), killed.stderr

    deployment.remote.docker("restart", MYSQL)
    wait_until(lambda: answers(deployment), 60, "orders to be served again", every=0.5)

    with traffic(deployment) as sent:
        deployment.remote.sudo(f"python3 {CREDENTIALS} rotate database </dev/null")
        sent.flows()
        sent.flows()
        sent.flows()
    sent.assert_unharmed()
    new = database_passwords(deployment)
    for account in ACCOUNTS:
        assert new[account] != old[account]
        assert may_log_in(deployment, account, new[account])
        assert not may_log_in(deployment, account, old[account])
    left = deployment.remote.sudo(f"ls {ROOT}/state {volume('mysql-secrets')}")
    assert "rotation.json" not in left
    assert ".next" not in left
    url = deployment.remote.sudo(f"cat {volume('service-secrets')}/database_url")
    assert f":{new['service']}@" in url
    assert deployment.readiness()["status"]


def answers(deployment: Deployment) -> bool:
    try:
        return deployment.client().get("/orders?limit=1").status == 200
    except urllib3.exceptions.HTTPError:
        return False


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

"""The passwords of a deployed host: where they lie, and whom they let in."""

from __future__ import annotations

import shlex

from tests.support.deployment import MYSQL, PROGRAM, ROOT, Deployment
from tests.support.stack import StackClient

ACCOUNTS = ("migrator", "service", "backup", "root")


def volume(name: str) -> str:
    """Return the folder of one of the stack's volumes."""
    return f"/var/lib/docker/volumes/order-service_{name}/_data"


def database_passwords(deployment: Deployment) -> dict[str, str]:
    """Return the password of each of MySQL's accounts."""
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


def status_of(deployment: Deployment, password: str) -> int:
    """Return what the API answers to this password."""
    client = StackClient(443, deployment.ca, deployment.host, password)
    return client.get("/orders?limit=1").status


def places_that_show(deployment: Deployment, secrets: set[str]) -> list[str]:
    """Return where one of the secrets can be read that should not be there."""
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
        "Ansible's files": remote.sudo(
            "find /root/.ansible /root/.ansible_async -type f -exec cat {} + 2>/dev/null || true"
        ),
    }
    return [place for place, text in shown.items() if any(one in text for one in secrets)]


def cut_off_rotation(deployment: Deployment, module: str, function: str, moment: str) -> None:
    """Change all passwords, and kill the program before or after one of its functions."""
    script = (
        f"import os, sys; sys.path.insert(0, '{PROGRAM}')\n"
        "from order_service.secrets import credentials, database_accounts, rotation, secret_files\n"
        f"real = {module}.{function}\n"
        "def cut(*given, **named):\n"
        f"    {'real(*given, **named)' if moment == 'after' else 'pass'}\n"
        "    os.kill(os.getpid(), 9)\n"
        f"{module}.{function} = cut\n"
        "sys.argv = ['credentials', 'rotate', 'all']\n"
        "credentials.main()\n"
    )
    killed = deployment.remote.try_ssh(f"sudo python3 -B -c {shlex.quote(script)} </dev/null")
    assert killed.returncode in (137, 255), killed.stderr

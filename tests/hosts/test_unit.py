"""One change of the service at a time on a host: systemd's unit, without a deployment."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from tests.hosts.conftest import NewHost
from tests.support.deployment import PROGRAM, ROOT, install_program
from tests.support.polling import wait_until
from tests.support.remote_host import USER, RemoteHost

UNIT = "order-service-deployment"
# In the place of Docker: it answers nothing while there is the file, and then refuses.
DOCKER = """#!/bin/sh
[ -z "$AUTH_PASSWORD_FILE" ] || cp "$AUTH_PASSWORD_FILE" /run/handed-over
while [ -e /run/held ]; do sleep 0.1; done
echo "no Docker here" >&2
exit 1
"""
ROLLOUT = "rollout tried"
FAILED = "FAILED: docker ps"


@pytest.fixture(scope="module")
def host(new_host: NewHost) -> RemoteHost:
    """A host with the program, on which a rollout goes on for as long as a test holds it."""
    booted = new_host()
    install_program(booted)
    booted.sudo(
        f"mkdir -p {ROOT}/stack {ROOT}/upstream {ROOT}/releases /etc/order-service"
        f" && touch {ROOT}/stack/.env && echo 'server 192.168.213.10:5000;'"
        f" >{ROOT}/upstream/server.conf && cat >/usr/local/bin/docker <<'END'\n{DOCKER}END\n"
        "chmod 755 /usr/local/bin/docker"
    )
    return booted


def call(*arguments: str) -> str:
    return f"sudo {PROGRAM} {' '.join(arguments)}"


class Caller(NamedTuple):
    """Who has begun it, and what it was told, once it has ended."""

    process: subprocess.Popen[str]
    told: list[str]


@contextmanager
def at_work(host: RemoteHost) -> Iterator[Caller]:
    """Have Ann's rollout at work; it goes on when the block ends."""
    host.sudo("touch /run/held")
    with subprocess.Popen(
        ["ssh", *host.ssh_options(), f"{USER}@{host.address}", call("--by=ann@laptop", ROLLOUT)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        wait_until(lambda: "docker" in processes(host), 30, "the rollout at work", every=0.2)
        caller = Caller(running, [])
        try:
            yield caller
        finally:
            host.sudo("rm -f /run/held")
            caller.told.append(running.communicate(timeout=30)[0])


def processes(host: RemoteHost) -> str:
    """Return the command lines in the unit."""
    return host.ssh(f"systemctl status --no-pager --full {UNIT} || true")


def is_free(host: RemoteHost) -> bool:
    return host.try_ssh(f"systemctl is-active {UNIT}").stdout.strip() == "inactive"


def test_the_second_is_told_who_changes_what_and_since_when(host: RemoteHost) -> None:
    with at_work(host) as first:
        refused = host.try_ssh(call("rollback"))
        assert refused.returncode == 1
        assert re.match(
            r"order-service: rollout tried by ann@laptop, since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"
            rf" is at work on this host\. .* journalctl -fu {UNIT}",
            refused.stderr,
        )
        assert len(refused.stderr.splitlines()) == 1
        in_time = host.try_ssh(call("--wait=1", "rollback"))
        assert in_time.stderr.startswith("waiting for rollout tried by ann@laptop, since 20")
        assert "is at work on this host" in in_time.stderr
    # The caller gets what is said there, and how it ended.
    assert FAILED in first.told[0]
    assert first.process.returncode == 1


def test_one_that_waits_begins_when_the_first_has_ended(host: RemoteHost) -> None:
    command = ["ssh", *host.ssh_options(), f"{USER}@{host.address}"]
    with at_work(host):
        second = subprocess.Popen(
            [*command, call("--wait=60", "rollback")], stderr=subprocess.PIPE, text=True
        )
        assert second.stderr
        assert "waiting for rollout tried by ann@laptop" in second.stderr.readline()
    told = second.communicate(timeout=30)[1]
    assert told == "FAILED: there is no release before None to go back to\n"
    assert second.returncode == 1


def test_it_outlives_its_connection_and_is_told_by_the_journal(host: RemoteHost) -> None:
    before = host.ssh("date +%s").strip()
    with at_work(host) as first:
        # What has called it there, and the connection.
        host.sudo("pkill -KILL systemd-run")
        first.process.kill()
        assert not is_free(host)
        assert "docker ps" in processes(host)
    wait_until(lambda: is_free(host), 30, "the rollout's end", every=0.2)
    log = host.sudo(f"journalctl --unit={UNIT} --since=@{before} --output=cat --no-pager")
    assert "rollout tried by ann@laptop" in log
    assert FAILED in log


def test_one_that_is_killed_ends_with_its_processes_and_is_free(host: RemoteHost) -> None:
    with at_work(host) as first:
        host.sudo(f"systemctl kill --signal=KILL --kill-whom=main {UNIT}")
        wait_until(lambda: is_free(host), 30, "the end of the unit", every=0.2)
        assert host.try_ssh("pgrep -f 'docker ps'").returncode != 0
        assert first.process.wait(30) != 0
        refused = host.try_ssh(call("rollback"))
    assert "there is no release before" in refused.stderr


def test_secrets_reach_it_by_standard_input_alone(host: RemoteHost) -> None:
    secret = "not-for-other-eyes"
    given = f'{{"AUTH_PASSWORD_FILE": "{secret}"}}'
    host.try_ssh(f"echo '{given}' | {call('credentials', 'make', 'tried')}")
    assert host.sudo("cat /run/handed-over") == secret
    assert secret not in host.sudo("journalctl --no-pager --output=cat")

"""The deployment's lock is freed however the playbook ends: the callback without a host."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.support.cases import Cases
from tests.support.control_fixtures import NewCheckout
from tests.support.control_node import RunningPlaybook
from tests.support.polling import wait_until

WORK = """
- name: Work under a lock, until the test opens the gate
  hosts: order_service
  become: true
  gather_facts: false
  tasks:
    - name: Work under a lock
      block:
        - name: Lock
          ansible.builtin.import_role:
            name: lock
        - name: Work
          ansible.builtin.command:
            argv: [cat, "{{ order_service_root }}/gate"]
      always:
        - name: Unlock
          ansible.builtin.include_role:
            name: lock
            tasks_from: release
"""
ROLE = "deploy/ansible/roles/lock/tasks/main.yml"
# They need root, and what they put on a host is there.
LEFT_OUT = {"host_files"}
PASSWORD = "the Vault's password"


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory, new_checkout: NewCheckout) -> Iterator[Cases]:
    """A control node with a playbook that does nothing but to hold the lock."""
    checkout = new_checkout()
    checkout.write("deploy/ansible/work.yml", WORK)
    tasks = yaml.safe_load((checkout.folder / ROLE).read_text())
    checkout.write(ROLE, yaml.safe_dump([task for task in tasks if not LEFT_OUT & {*task}]))
    with closing(Cases(tmp_path_factory.mktemp("control"), checkout)) as control:
        yield control


class Host:
    """This machine as the host, below a folder of its own."""

    def __init__(self, folder: Path, control: Cases) -> None:
        self._control = control
        self.folder = folder
        self.lock = folder / "state" / "lock.json"
        self.lock.parent.mkdir()
        (folder / "lib").symlink_to(control.checkout.folder / "deploy" / "host")
        os.mkfifo(folder / "gate")

    def start(self, *arguments: str, **variables: Any) -> RunningPlaybook:
        """Start the playbook."""
        here = {"ansible_connection": "local", "ansible_become": False}
        return self._control.start_playbook("work.yml", *arguments, here=here | variables)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Wait until the task is at work, and let it end afterwards."""

        def opened() -> int | None:
            # Without a reader it cannot be opened.
            with suppress(OSError):
                return os.open(self.folder / "gate", os.O_WRONLY | os.O_NONBLOCK)
            return None

        gate = wait_until(opened, 60, "the task at work")
        assert gate is not None
        try:
            assert self.lock.exists()
            yield
        finally:
            os.close(gate)

    def processes(self) -> list[str]:
        """Return the command lines of all that was started and has not ended."""
        mark, found = f"ORDER_SERVICE_ROOT={self.folder}".encode(), []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_text().replace("\0", " "))
        return found

    def wait_until_free(self) -> None:
        """Wait until the lock is free and all that was started has ended."""
        wait_until(lambda: not self.lock.exists(), 60, "a free lock", every=0.1)
        wait_until(lambda: not self.processes(), 60, "the end of all processes", every=0.1)


@pytest.fixture
def host(control: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("ORDER_SERVICE_ROOT", str(tmp_path))
    return Host(tmp_path, control)


def test_a_playbook_that_ends_frees_it_and_leaves_nothing(host: Host) -> None:
    running = host.start(order_service_root=str(host.folder))
    with host.at_work():
        pass
    running.wait(60).succeeded()
    assert not host.lock.exists()
    assert host.processes() == []


def test_ctrl_c_frees_it(host: Host) -> None:
    running = host.start(order_service_root=str(host.folder))
    with host.at_work():
        running.interrupt()
        assert running.wait(5).returncode not in (0, -signal.SIGKILL)
        host.wait_until_free()


def test_kill_frees_it_once_its_task_has_ended_whatever_that_needs_of_a_vault(host: Host) -> None:
    """Where the host's folder is encrypted, only who has the password finds the lock."""
    (host.folder / "password").write_text(PASSWORD)
    vault = VaultLib([("default", VaultSecret(PASSWORD.encode()))])
    encrypted = vault.encrypt(f"order_service_root: {host.folder}\n")
    (host.folder / "vault.yml").write_bytes(encrypted)
    running = host.start(
        f"--vault-password-file={host.folder}/password", "-e", f"@{host.folder}/vault.yml"
    )
    with host.at_work():
        (host.folder / "password").unlink()
        running.kill()
        assert running.wait(5).returncode == -signal.SIGKILL
        assert host.lock.exists()
    host.wait_until_free()

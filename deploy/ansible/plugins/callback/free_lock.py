"""Frees the deployment's lock when the playbook ends before it could do so itself.

Ansible runs no `always` after Ctrl-C, and nothing at all after kill -9. So with the lock a small
process is started that only waits for the end of this one, in a session of its own: whatever it is
that ends it, the read end of their pipe is closed by the kernel. If the lock is still held then, it
runs `unlock.yml` with the same inventory and the same connection.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: free_lock
type: aggregate
short_description: Frees the deployment's lock after Ctrl-C and kill -9
description:
  - Starts a process that outlives an interrupted playbook for as long as it takes to unlock.
"""

TAKES, FREES = "Take the lock", "Free the lock"
# The connection's options, as ansible-playbook takes them: name in CLIARGS, option.
PASSED_ON = {
    "remote_user": "--user",
    "private_key_file": "--private-key",
    "connection": "--connection",
    "ssh_common_args": "--ssh-common-args",
    "ssh_extra_args": "--ssh-extra-args",
}
ANSIBLE_PLAYBOOK = Path(sys.argv[0])
WATCH = """
import os, subprocess, sys
freed = os.read(0, 1)
if not freed:
    subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, timeout=120, check=False)
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Watches the two tasks by their names."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "free_lock"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._watchers: dict[str, subprocess.Popen[bytes]] = {}

    def v2_runner_on_ok(self, result: Any) -> None:
        """Start or end the watch of a host."""
        task, host = result._task.get_name(), result._host.get_name()  # noqa: SLF001 - no other way
        if task.endswith(TAKES) and result._result.get("rc") == 0:  # noqa: SLF001
            command = result._result["cmd"]  # noqa: SLF001
            token = next(part.removeprefix("--token=") for part in command if "--token=" in part)
            self._watchers[host] = _watch(host, token)
        elif task.endswith(FREES) and host in self._watchers:
            watcher = self._watchers.pop(host)
            if watcher.stdin:
                watcher.stdin.write(b"f")
                watcher.stdin.close()
            watcher.wait(timeout=10)


def _watch(host: str, token: str) -> subprocess.Popen[bytes]:
    given = context.CLIARGS
    command = [str(ANSIBLE_PLAYBOOK), "unlock.yml", "--limit", host, "-e", f"lock_token={token}"]
    for source in given.get("inventory") or ():
        command += ["-i", source]
    for name, option in PASSED_ON.items():
        if value := given.get(name):
            command += [f"{option}={value}"]
    return subprocess.Popen(  # noqa: S603 - this very program again
        [sys.executable, "-c", WATCH, *command],
        cwd=Path(__file__).parents[2],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )

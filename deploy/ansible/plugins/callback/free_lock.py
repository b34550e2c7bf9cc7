"""Frees the deployment's lock when the playbook ends before it could do so itself.

Ansible runs no `always` after Ctrl-C, and nothing at all after kill -9. So with the lock a small
process is started that only waits for the end of this one, in a session of its own: whatever it is
that ends it, the kernel closes the pipe between them, once a task that is still at work has ended,
too. If the lock is still held then, it runs `unlock.yml` with the same inventory, the same extra
variables and the same connection.

What that needs of passwords, it gets over the same pipe at its start: it is on no command line, in
no environment and in no file. It has no terminal, so the prompts of ansible-playbook read it from
standard input.
"""

from __future__ import annotations

import json
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
    "become_method": "--become-method",
    "become_user": "--become-user",
}
ANSIBLE_PLAYBOOK = Path(sys.argv[0])
# Everything that these would have asked for or read comes with the prompts instead.
ASKED_FOR = (
    "ANSIBLE_ASK_PASS",
    "ANSIBLE_ASK_VAULT_PASS",
    "ANSIBLE_BECOME_ASK_PASS",
    "ANSIBLE_VAULT_IDENTITY_LIST",
    "ANSIBLE_VAULT_PASSWORD_FILE",
)
WATCH = f"""
import json, os, subprocess, sys
told = json.loads(sys.stdin.readline())
if not sys.stdin.read(1):
    env = {{name: value for name, value in os.environ.items() if name not in {ASKED_FOR}}}
    subprocess.run(told["command"], env=env, input=told["answers"], text=True, timeout=120)
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Watches the two tasks by their names."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "free_lock"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._watchers: dict[str, subprocess.Popen[str]] = {}
        self._passwords: list[tuple[str, str]] = []
        self._vault: list[tuple[str, str]] = []

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Remember Vault's passwords, wherever they came from."""
        secrets = playbook._loader._vault.secrets or ()  # noqa: SLF001 - no other way
        self._vault = [
            (f"--vault-id={name}@prompt", secret.bytes.decode()) for name, secret in secrets
        ]

    def set_play_context(self, play_context: Any) -> None:
        """Remember the passwords of the connection."""
        asked = (
            ("--ask-pass", play_context.password),
            ("--ask-become-pass", play_context.become_pass),
        )
        self._passwords = [(option, str(answer)) for option, answer in asked if answer]

    def v2_runner_on_ok(self, result: Any) -> None:
        """Start or end the watch of a host."""
        task, host = result._task.get_name(), result._host.get_name()  # noqa: SLF001 - no other way
        if task.endswith(TAKES) and result._result.get("rc") == 0:  # noqa: SLF001
            command = result._result["cmd"]  # noqa: SLF001
            token = next(part.removeprefix("--token=") for part in command if "--token=" in part)
            self._watchers[host] = self._watch(host, token)
        elif task.endswith(FREES) and host in self._watchers:
            self._watchers.pop(host).communicate("f", timeout=10)

    def _watch(self, host: str, token: str) -> subprocess.Popen[str]:
        # In the order in which ansible-playbook asks.
        prompts = [*self._passwords, *self._vault]
        told = {
            "command": [*_command(host, token), *(option for option, _ in prompts)],
            "answers": "".join(f"{answer}\n" for _, answer in prompts),
        }
        watcher = subprocess.Popen(  # noqa: S603 - Python, with the program above
            [sys.executable, "-c", WATCH],
            cwd=Path(__file__).parents[2],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        if watcher.stdin:
            watcher.stdin.write(json.dumps(told) + "\n")
            watcher.stdin.flush()
        return watcher


def _command(host: str, token: str) -> list[str]:
    given = context.CLIARGS
    command = [str(ANSIBLE_PLAYBOOK), "unlock.yml", "--limit", host]
    for source in given.get("inventory") or ():
        command += ["-i", source]
    for name, option in PASSED_ON.items():
        if value := given.get(name):
            command += [f"{option}={value}"]
    for extra in given.get("extra_vars") or ():
        # The watcher runs in another folder.
        file = f"@{Path(extra[1:]).expanduser().absolute()}"
        command += ["-e", file if extra.startswith("@") else extra]
    return [*command, "-e", f"lock_token={token}"]

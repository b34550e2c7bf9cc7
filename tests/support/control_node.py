"""The control node: a checkout, an inventory, and the real ansible-playbook."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from tests.support.checkout import Checkout
from tests.support.polling import wait_until
from tests.support.remote_host import USER, RemoteHost
from tests.support.service_process import BIN

PLAYBOOK_SECONDS = 480.0
RECAP = re.compile(
    r"^(\S+)\s+: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE
)
STEP = re.compile(r"^(\S+) -+ ([\d.]+)s$", re.MULTILINE)
RULE = "~" * 20


@dataclass(frozen=True)
class Recap:
    """A host's line of PLAY RECAP."""

    ok: int
    changed: int
    unreachable: int
    failed: int


@dataclass(frozen=True)
class PlaybookRun:
    """What a playbook that ended has said."""

    command: str
    returncode: int
    output: str
    seconds: float

    @property
    def recaps(self) -> dict[str, Recap]:
        """The counts of PLAY RECAP by host; empty when nothing ran."""
        return {name: Recap(*map(int, counts)) for name, *counts in RECAP.findall(self.output)}

    @property
    def recap(self) -> Recap:
        """The counts of the only host."""
        assert len(self.recaps) == 1, f"not exactly one host in PLAY RECAP:\n{self.output}"
        return next(iter(self.recaps.values()))

    @property
    def steps(self) -> dict[str, float]:
        """Seconds by role, the longest first."""
        recap = self.output.partition("ROLES RECAP")[2].partition(RULE)[0]
        return {name: float(seconds) for name, seconds in STEP.findall(recap)}

    def report(self) -> str:
        """Return the time it took by step, for people."""
        lines = [f"{self.command}: {self.seconds:.1f} s, status {self.returncode}"]
        return "\n".join(lines + [f"  {s:7.1f} s  {name}" for name, s in self.steps.items()])

    def succeeded(self) -> Self:
        """Return it, if it did."""
        assert self.returncode == 0, f"{self.command}: status {self.returncode}\n{self.output}"
        return self


class RunningPlaybook:
    """A playbook in a process group of its own, as in a terminal of its own."""

    def __init__(self, arguments: list[str], cwd: Path, env: Mapping[str, str], log: Path):
        self._log = log
        self._started = time.monotonic()
        self._command = " ".join(a for a in arguments if not a.startswith("--inventory"))
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                # As in a terminal: a shell starts what is in the background deaf to Ctrl-C.
                ["env", "--default-signal=INT", str(BIN / arguments[0]), *arguments[1:]],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def running(self) -> bool:
        """Return whether it has not ended yet."""
        return self._popen.poll() is None

    def wait_for(self, text: str, seconds: float = 300) -> None:
        """Wait until the output holds the text; fail when the playbook ends without."""

        def there() -> bool:
            ended = not self.running()
            found = text in self.output
            assert found or not ended, f"{self._command} ended without {text!r}:\n{self.output}"
            return found

        wait_until(there, seconds, f"{text!r} in the output of {self._command}", every=0.1)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends, to the whole group as a terminal does, until it ends.

        Ansible raises KeyboardInterrupt wherever its process happens to be; in a destructor or
        beside a fork Python drops it, and people press again.
        """

        def ended() -> bool:
            self._signal(signal.SIGINT)
            return not self.running()

        wait_until(ended, 60, f"the end of {self._command}", every=3)

    def kill(self) -> None:
        """End it with SIGKILL and all that it started in its group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.running():
            os.killpg(self._popen.pid, number)

    def wait(self, seconds: float = PLAYBOOK_SECONDS) -> PlaybookRun:
        """Return what it has said once it has ended."""
        try:
            code = self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._popen.wait(10)
            raise AssertionError(
                f"{self._command} did not end within {seconds:g} s:\n{self.output}"
            ) from None
        return PlaybookRun(self._command, code, self.output, time.monotonic() - self._started)


class ControlNode:
    """Runs playbooks of a checkout against hosts of an inventory."""

    def __init__(self, folder: Path, checkout: Checkout, *hosts: RemoteHost, **variables: Any):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.checkout, self.hosts = folder, checkout, hosts
        self.variables = variables
        self.runs: list[PlaybookRun] = []
        self._started: list[RunningPlaybook] = []
        # A short path: those of SSH's control sockets are limited to about a hundred bytes.
        self._home = Path(tempfile.mkdtemp(prefix="orders-"))

    @property
    def ansible_folder(self) -> Path:
        """Where users type `ansible-playbook`."""
        return self.checkout.folder / "deploy" / "ansible"

    def playbook(self, name: str, *arguments: str, **variables: Any) -> PlaybookRun:
        """Run a playbook that must succeed."""
        return self.try_playbook(name, *arguments, **variables).succeeded()

    def try_playbook(self, name: str, *arguments: str, **variables: Any) -> PlaybookRun:
        """Run a playbook, whatever comes of it; variables are added to the inventory's."""
        run = self.start_playbook(name, *arguments, **variables).wait()
        self.runs.append(run)
        return run

    def start_playbook(self, name: str, *arguments: str, **variables: Any) -> RunningPlaybook:
        """Start a playbook and let it run; variables are added to the inventory's."""
        return self._start("ansible-playbook", variables, name, *arguments)

    def ping(self) -> PlaybookRun:
        """Run `ansible -m ping` on all hosts."""
        return self._start("ansible", {}, "all", "-m", "ansible.builtin.ping").wait(60)

    def _start(self, program: str, variables: dict[str, Any], *arguments: str) -> RunningPlaybook:
        number = len(self._started)
        inventory = self.folder / f"inventory-{number}.yml"
        inventory.write_text(yaml.safe_dump(self.inventory(variables), sort_keys=False))
        running = RunningPlaybook(
            [program, f"--inventory={inventory}", *arguments],
            self.ansible_folder if self.ansible_folder.exists() else self.checkout.folder,
            self._environment(),
            self.folder / f"{program}-{number}.log",
        )
        self._started.append(running)
        return running

    def inventory(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inventory that a user would have written for these hosts."""
        hosts = {
            host.name: {
                "ansible_host": host.address,
                "ansible_user": USER,
                "ansible_ssh_private_key_file": str(host.key),
                "ansible_ssh_extra_args": f"-o UserKnownHostsFile={host.known_hosts}"
                " -o StrictHostKeyChecking=yes",
            }
            for host in self.hosts
        }
        return {"order_service": {"hosts": hosts, "vars": {**self.variables, **variables}}}

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
        return inherited | {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "ANSIBLE_HOME": str(self._home),
            "ANSIBLE_NOCOLOR": "1",
        }

    def close(self) -> None:
        """End what still runs and remove Ansible's own files."""
        for running in self._started:
            running.kill()
        shutil.rmtree(self._home, ignore_errors=True)

"""One run of a playbook for many cases: each a host of the inventory with settings of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tests.support.checkout import Checkout
from tests.support.control_node import ControlNode

Settings = Mapping[str, Any]

# Nothing listens there: what is refused is refused before any host is asked.
NOWHERE, NO_PORT = "127.0.9.9", 1
# What those are told that a host would have been asked for.
ASKED = f"connect to host {NOWHERE} port {NO_PORT}: Connection refused"
# What deploy.yml checks before it changes anything, without what it does then.
CHECKS = "checks.yml"
# What lets one host's failure end the run for the others.
ALONE = re.compile(r"^  (serial: 1|max_fail_percentage: 0)\n", re.MULTILINE)
# An error is told before the result that it belongs to, unless it was told of another host already.
PARTS = re.compile(r"^(?=\[ERROR\]: |\w+: \[|TASK \[)", re.MULTILINE)
FAILED = re.compile(r"(?:fatal|failed): \[([^\]\s]+)")


class Cases(ControlNode):
    """Runs playbooks for hosts that are not there."""

    def __init__(self, folder: Path, checkout: Checkout) -> None:
        super().__init__(
            folder,
            checkout,
            ansible_host=NOWHERE,
            ansible_port=NO_PORT,
            ansible_ssh_extra_args="-F /dev/null -o BatchMode=yes",
            ansible_ssh_retries=0,
            independent_hosts=True,
        )
        for path in sorted(self.ansible_folder.glob("*.yml")):
            # The first refusal would end the run.
            path.write_text(ALONE.sub("", path.read_text()))
        with (self.ansible_folder / "ansible.cfg").open("a") as configuration:
            # Tests that run as root become root by a program, too.
            configuration.write("\n[privilege_escalation]\nbecome_allow_same_user = true\n")
        checks, *_ = yaml.safe_load((self.ansible_folder / "deploy.yml").read_text())
        (self.ansible_folder / CHECKS).write_text(yaml.safe_dump([checks], sort_keys=False))
        checkout.commit("All hosts at once")

    def inventory(self, variables: Settings) -> dict[str, Any]:
        """Return the inventory of the cases, which are the variables."""
        return {"order_service": {"hosts": dict(variables), "vars": self.variables}}

    def run(self, playbook: str, cases: Mapping[str, Settings], *arguments: str) -> dict[str, str]:
        """Run a playbook for cases of which at least one is refused; return what each was told."""
        run = self.try_playbook(playbook, *arguments, **cases)
        assert run.returncode != 0, run.output
        assert "Traceback" not in run.output
        assert [*run.recaps] == sorted(cases)
        assert {recap.changed for recap in run.recaps.values()} == {0}
        return dict.fromkeys(cases, "") | _failures(run.output)


def _failures(output: str) -> dict[str, str]:
    """Return what was said of each host that failed, without line breaks, which fall anywhere."""
    told: dict[str, str] = {}
    for error, result in pairwise(["", *PARTS.split(output)]):
        if found := FAILED.match(result):
            details = re.split(r"\n(?=\S)", result, maxsplit=1)[0]
            words = [told.get(found[1], ""), error if error.startswith("[ERROR]") else "", details]
            told[found[1]] = " ".join(" ".join(words).split())
    return told

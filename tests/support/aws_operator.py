"""An operator with a stage at AWS: a folder of its own, and the real playbooks."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.aws_account import REGION
from tests.support.control_fixtures import NewCheckout
from tests.support.control_node import ControlNode, PlaybookRun
from tests.support.service_process import BIN

SETTINGS: dict[str, Any] = {
    "aws_region": REGION,
    "aws_ssh_sources": ["198.51.100.7/32", "2001:db8::/48"],
    "aws_hosts": [{"name": "orders-1"}],
    "aws_backup_bucket": "orders-copies",
    "aws_backup_days": 30,
}


class Operator(ControlNode):
    """Somebody with a folder for a stage, made as the guide says."""

    def __init__(
        self, folder: Path, new_checkout: NewCheckout, environment: dict[str, str]
    ) -> None:
        super().__init__(folder, new_checkout())
        self._of_aws = environment
        self.stage = self.ansible_folder / "inventories" / "production"
        shutil.copytree(self.stage.with_name("aws"), self.stage)

    def inventory(self, _variables: Any) -> dict[str, Any]:
        return {"all": {}}

    def _environment(self) -> dict[str, str]:
        inherited = super()._environment().items()
        return {k: v for k, v in inherited if not k.startswith("AWS_")} | self._of_aws

    def run(self, playbook: str, *arguments: str, **changed: Any) -> PlaybookRun:
        """Run a playbook for the stage, with its settings in stack.yml."""
        path = self.stage / "stack.yml"
        stack = yaml.safe_load(path.read_text())
        stack["order_service_stack"]["vars"] = SETTINGS | changed
        path.write_text(yaml.safe_dump(stack))
        return self.try_playbook(playbook, f"--inventory={self.stage}", *arguments)

    def ping(self) -> PlaybookRun:
        """Run `ansible -m ping` on the hosts of the stage."""
        arguments = ["order_service", "-m", "ansible.builtin.ping"]
        return self._start("ansible", {}, f"--inventory={self.stage}", *arguments).wait(120)

    def listed(self) -> dict[str, Any]:
        """Return what the inventory of the stage says of its hosts."""
        program = [str(BIN / "ansible-inventory"), f"--inventory={self.stage}", "--list"]
        answer = subprocess.run(
            program, capture_output=True, check=True, cwd=self.ansible_folder,
            env=self._environment(), text=True,
        ).stdout  # fmt: skip
        plain: dict[str, Any] = json.loads(
            answer, object_hook=lambda found: found.get("__ansible_unsafe", found)
        )
        return plain

    def settings(self, host: str, *names: str) -> dict[str, Any]:
        """Return what deploy.yml is told of a host, with nothing left to look up."""
        values = ", ".join(f"'{name}': {name}" for name in names)
        arguments = ["-m", "ansible.builtin.debug", "-a", f"msg={{{{ {{{values}}} }}}}"]
        program = [str(BIN / "ansible"), f"--inventory={self.stage}", host, *arguments]
        answer = subprocess.run(
            program, capture_output=True, check=True, cwd=self.ansible_folder,
            env=self._environment() | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}, text=True,
        ).stdout  # fmt: skip
        told: dict[str, Any] = json.loads(answer[answer.index("{") :])["msg"]
        return told

    def remove(self, confirm: str | None, **changed: Any) -> PlaybookRun:
        """Run deprovision.yml with a confirmation, or without."""
        extra = [] if confirm is None else ["-e", json.dumps({"confirm": confirm})]
        return self.run("deprovision.yml", *extra, **changed)


def told(run: PlaybookRun) -> str:
    """Return the output without line breaks, which fall anywhere."""
    return " ".join(run.output.split())

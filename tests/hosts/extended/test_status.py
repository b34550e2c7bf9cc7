"""status.yml: what needs somebody's attention, for people and for programs."""

from __future__ import annotations

import json
import re

from tests.support.deployment import PROGRAM, ROOT, Deployment


def test_it_fails_where_something_needs_attention(deployment: Deployment) -> None:
    remote = deployment.remote
    certificate = f"{ROOT}/certificates/tls.crt"
    remote.docker("stop", "order-service-nginx-1")
    remote.sudo(f"mv {certificate} {certificate}.away")
    what = "--description='deploy 1a2b by somebody@elsewhere'"
    remote.sudo(f"systemd-run --unit=order-service-deployment {what} sleep 300")
    try:
        run = deployment.node.try_playbook("status.yml")
    finally:
        remote.sudo(f"mv {certificate}.away {certificate}; systemctl stop order-service-deployment")
        remote.docker("start", "order-service-nginx-1")
    assert run.returncode == 2
    assert run.recap.changed == 0
    assert re.search(r"!! container +nginx-1: Exited", run.output), run.output
    assert re.search(r"!! certificate +cannot be told: ", run.output), run.output
    assert re.search(r"lock +deploy 1a2b by somebody@elsewhere, since 2", run.output), run.output
    assert "Traceback" not in run.output


def test_programs_get_it_as_json(deployment: Deployment) -> None:
    told = json.loads(deployment.remote.sudo(f"{PROGRAM} status --json"))
    assert {"part", "text", "good", "subject", "why"} == set(told[0])
    assert {"release", "certificate", "backup"} <= {line["part"] for line in told}

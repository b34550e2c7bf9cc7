"""status.yml: what runs, and what needs somebody's attention."""

from __future__ import annotations

import json
import re

from tests.support.deployment import ROOT, Deployment

LIBRARY = f"{ROOT}/lib"


def test_it_tells_what_runs_and_changes_nothing(deployment: Deployment) -> None:
    before = deployment.remote.sudo(f"find {ROOT} -type f -printf '%p %T@\n' | sort")
    run = deployment.node.playbook("status.yml")
    assert run.recap.changed == 0
    ledger = deployment.ledger()
    active = ledger["releases"][-1]
    for expected in (
        rf"release +{active['release']} in {deployment.colour}, deployed .* by \S+@\S+",
        r"readiness +ready",
        rf"container +{deployment.colour}-app-1: Up .*healthy",
        r"container +mysql-1: Up .*healthy",
        r"container +nginx-1: Up .*healthy",
        r"certificate +valid until \d{4}-\d\d-\d\d \d\d:\d\d, \d+ days",
        r"passwords +the API's since ",
        r"backup +\S",
        r"drill +\S",
        r"disk +[\d.]+ of [\d.]+ GiB free",
        r"memory +\d+ of \d+ MiB available",
        r"lock +nobody deploys",
    ):
        assert re.search(expected, run.output), f"{expected}\n{run.output}"
    assert "!!" not in run.output
    assert deployment.remote.sudo(f"find {ROOT} -type f -printf '%p %T@\n' | sort") == before


def test_it_fails_where_something_needs_attention(deployment: Deployment) -> None:
    remote = deployment.remote
    certificate = f"{ROOT}/certificates/tls.crt"
    remote.docker("stop", "order-service-nginx-1")
    remote.sudo(f"mv {certificate} {certificate}.away")
    lock = {
        "token": "t", "owner": "somebody@elsewhere", "why": "try", "since": "2026-01-01T00:00:00Z",
        "until": "2999-01-01T00:00:00Z",
    }  # fmt: skip
    remote.sudo(f"echo '{json.dumps(lock)}' >{ROOT}/state/lock.json")
    try:
        run = deployment.node.try_playbook("status.yml")
    finally:
        remote.sudo(f"mv {certificate}.away {certificate}; rm {ROOT}/state/lock.json")
        remote.docker("start", "order-service-nginx-1")
    assert run.returncode == 2
    assert run.recap.changed == 0
    assert re.search(r"!! container +nginx-1: Exited", run.output), run.output
    assert re.search(r"!! certificate +cannot be told: ", run.output), run.output
    assert re.search(r"lock +somebody@elsewhere since .*: try", run.output), run.output
    assert "Traceback" not in run.output


def test_programs_get_it_as_json(deployment: Deployment) -> None:
    told = json.loads(deployment.remote.sudo(f"python3 {LIBRARY}/status.py --json"))
    assert {"part", "text", "good"} == set(told[0])
    assert {"release", "certificate", "backup"} <= {line["part"] for line in told}

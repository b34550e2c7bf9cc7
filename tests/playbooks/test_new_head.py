"""The first of several hosts makes what the others have, so no other one gets into its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.support.cases import Cases

PLAYBOOK = [
    {
        "hosts": "order_service",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.include_role": {"name": "control", "tasks_from": "succession"}},
        ],
    }
]
DEPLOYED = json.dumps({"active": "0123456789ab"})
HANDED = "HEAD=orders-1\nPRIVATE_ADDRESS=10.0.0.2\n"
# By host: its settings, its ledger, its part, and which other hosts there are.
CASES: dict[str, tuple[str, str, str, list[str]]] = {
    "first_of_all": ("", "", "database", ["nothing"]),
    "same": ("PARTS=database\n", DEPLOYED, "database", ["deployed"]),
    "alone_before": ("", DEPLOYED, "database", ["nothing"]),
    "next_database": (f"PARTS=worker,database\n{HANDED}", DEPLOYED, "database", ["deployed"]),
    "new": ("", "", "worker", ["deployed", "nothing"]),
    "new_and_meant": ("", "", "worker", ["deployed"]),
    "next_worker": (f"PARTS=worker\n{HANDED}", DEPLOYED, "worker", ["deployed"]),
    "deployed": ("PARTS=web\n", DEPLOYED, "web", []),
    "nothing": ("", "", "web", []),
}


@pytest.fixture(scope="module")
def told(cases: Cases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each host was told as the head of those beside it."""
    folder = tmp_path_factory.mktemp("heads")
    hosts: dict[str, dict[str, Any]] = {}
    for name, (settings, ledger, part, others) in CASES.items():
        for file, text in {"state/ledger.json": ledger, "stack/.env": settings}.items():
            (folder / name / file).parent.mkdir(parents=True)
            if text:
                (folder / name / file).write_text(text)
        hosts[name] = {
            "ansible_connection": "local",
            "order_service_root": str(folder / name),
            f"order_service_{part}_hosts": [name],
        }
        hosts[name] |= {"order_service_web_hosts": others} if others else {}
    hosts["new_and_meant"]["new_head"] = True
    (cases.ansible_folder / "heads.yml").write_text(yaml.safe_dump(PLAYBOOK))
    return cases.run("heads.yml", hosts)


def test_a_host_that_has_everything_may_be_the_head(told: dict[str, str]) -> None:
    refused = {name for name, text in told.items() if text}
    assert refused == {"new", "next_worker"}


def test_one_that_would_make_other_passwords_is_refused(told: dict[str, str]) -> None:
    expected = "it is new, and has none of those that are in use on deployed: clients would be"
    assert expected in told["new"]
    assert "-e new_head=true" in told["new"]
    assert "But it has only some of them, from orders-1: clients" in told["next_worker"]

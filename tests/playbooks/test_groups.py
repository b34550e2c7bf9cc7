"""Groups of hosts that cannot work together are refused, with what is expected of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.own_modules import load
from tests.support.service_process import REPOSITORY

FILTERS = load(REPOSITORY / "deploy/ansible/roles/control/filter_plugins/groups.py")
Groups = dict[str, list[str]]
# What works, and each case changes.
GROUPS: Groups = {
    "web": ["web-1", "web-2"],
    "worker": ["worker-1"],
    "database": ["database-1"],
    "balancer": ["balancer-1"],
}
ALL = [host for hosts in GROUPS.values() for host in hosts]
# The addresses of those after web-2.
REST = ["10.0.0.3", "10.0.0.4", "10.0.0.5"]
NONE: Groups = {part: [] for part in GROUPS}
BALANCED_ELSEWHERE: Groups = {"balancer": []}
WITHOUT_DATABASE: Groups = {"database": []}
URL = "mysql+pymysql://service:secret@db.example.com/orders"


def told(groups: Groups, settings: dict[str, Any] | None = None) -> list[str]:
    merged = GROUPS | groups
    hosts = list(dict.fromkeys(host for part in GROUPS for host in merged[part]))
    hosts = groups.get("order_service", hosts)
    addresses = [f"10.0.0.{number}" for number, _ in enumerate(hosts, start=1)]
    known = {"order_service_addresses": addresses} | (settings or {})
    problems: list[str] = FILTERS.wrong_groups(
        merged | {"order_service": hosts}, known, known["order_service_addresses"]
    )
    return problems


@pytest.mark.parametrize(
    ("groups", "settings"),
    [
        ({}, {}),
        (NONE | {"web": ["one"], "database": ["one"]}, {}),
        (NONE | {"order_service": ["one"]}, {}),
        (NONE | {"order_service": ["a", "b"]}, {"independent_hosts": True}),
        ({"database": ["a", "b", "c"]}, {}),
        (WITHOUT_DATABASE, {"database_url": URL}),
        (BALANCED_ELSEWHERE, {"trusted_proxies": ["10.0.9.0/24"], "proxy_protocol": True}),
        (BALANCED_ELSEWHERE, {"trusted_proxies": []}),
        ({}, {"processor_threads": 0}),
        ({"worker": []}, {"processor_threads": 0, "worker_threads": "8"}),
        ({"web": ["web-1"]}, {"acme_email": "you@example.com"}),
    ],
)
def test_what_works_is_let_in(groups: Groups, settings: dict[str, Any]) -> None:
    assert told(groups, settings) == []


@pytest.mark.parametrize(
    ("groups", "settings", "expected"),
    [
        (NONE | {"order_service": ["a", "b"]}, {}, "groups web, worker,"),
        ({"order_service": ["web-1"]}, {}, "balancer-1 is not in order_service"),
        (
            {"order_service": [*ALL, "more"]},
            {},
            "more is in none of the groups web, worker, database, balancer",
        ),
        ({}, {"independent_hosts": True}, "independent_hosts is true, and there are groups"),
        ({"database": ["a", "b"]}, {}, "has 2 hosts, expected 1, 3 or 5: an order counts once"),
        ({"database": [*"abcd"]}, {}, "has 4 hosts, expected 1, 3 or 5"),
        ({}, {"database_url": URL}, "database_url is set, and the group database has hosts"),
        (WITHOUT_DATABASE, {}, "there is no database: expected hosts"),
        ({"web": []}, {}, "the group web has no hosts"),
        ({"balancer": ["web-2"]}, {}, "web-2 is in web and in balancer"),
        ({}, {"trusted_proxies": ["10.0.9.0/24"]}, "the group balancer has hosts"),
        ({}, {"balancer_address": "10.0.0.9"}, "the group balancer has one host: expected two"),
        (BALANCED_ELSEWHERE, {}, "expected trusted_proxies, the networks of your cloud's"),
        ({}, {"acme_email": "you@example.com"}, "acme_email is set, and there are several web"),
        ({"worker": []}, {"processor_threads": 0}, "nobody else processes orders"),
        (
            {"order_service": ALL},
            {"order_service_addresses": ["10.0.0.1", "web-2.example.com", *REST]},
            "the other hosts know web-2 as web-2.example.com, expected private_address",
        ),
        (
            {"order_service": ALL},
            {"order_service_addresses": ["10.0.0.1", "fd00::2", *REST]},
            "the other hosts know web-2 as fd00::2, expected private_address: the IPv4 address",
        ),
        (
            {"order_service": ALL},
            {"order_service_addresses": ["10.0.0.1", "10.0.0.2", REST[0], "10.0.0.2", REST[2]]},
            "web-2 and database-1 have the same private_address, 10.0.0.2",
        ),
    ],
)
def test_what_cannot_work_is_refused(
    groups: Groups, settings: dict[str, Any], expected: str
) -> None:
    problems = told(groups, settings)
    assert any(expected in problem for problem in problems), problems
    # Whatever is wrong, the password is nobody's business.
    assert "secret" not in " ".join(problems)

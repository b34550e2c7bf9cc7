"""What the filters for hosts at AWS make of the settings."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.own_modules import load
from tests.support.service_process import REPOSITORY

ROLE = REPOSITORY / "deploy" / "ansible" / "roles" / "aws"
PRICES = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["aws_prices"]
IMAGES = {arch: {"name": f"debian-{arch}"} for arch in ("x86_64", "arm64")}


FILTERS = ROLE / "filter_plugins"
STACK, PLAN = load(FILTERS / "stack.py"), load(FILTERS / "plan.py")
security_groups = load(FILTERS / "security_groups.py").security_groups
WEB, WORKER = {"name": "web", "parts": ["web"]}, {"name": "worker", "parts": ["worker"]}
DATABASE = {"name": "db", "parts": ["database"]}
BALANCER = {"name": "lb", "parts": ["balancer"]}


def plan(region: str, present: dict[str, Any], *hosts: dict[str, Any]) -> list[str]:
    planned = STACK.planned_hosts(list(hosts))
    lines: list[str] = PLAN.stack_plan(planned, present, IMAGES, PRICES, region)
    return lines


@pytest.mark.parametrize(
    "type_", ["t4g.small", "m7g.large", "c7gn.xlarge", "x2gd.large", "a1.large"]
)
def test_types_of_graviton_get_an_image_for_arm(type_: str) -> None:
    (host,) = STACK.planned_hosts([{"name": "orders-1", "type": type_}])
    assert host["architecture"] == "arm64"


@pytest.mark.parametrize("type_", [None, "t3.small", "g4dn.xlarge", "m7i-flex.large", "c6in.large"])
def test_others_get_one_for_x86(type_: str | None) -> None:
    (host,) = STACK.planned_hosts([{"name": "orders-1", "type": type_}])
    assert host["architecture"] == "x86_64"


def test_a_price_that_is_not_known_is_to_be_looked_up() -> None:
    small = {"name": "orders-1"}
    assert "about 23 USD a month" in plan("eu-central-1", {}, small)[0]
    larger = {"name": "orders-1", "type": "t3.medium", "disk_gb": 100}
    assert "about 49 USD a month" in plan("eu-central-1", {}, larger)[0]
    assert "a price to look up" in plan("eu-central-1", {}, small | {"type": "m7g.large"})[0]
    assert "a price to look up" in plan("us-east-1", {}, small)[0]


def test_a_host_that_is_no_longer_named_is_left() -> None:
    present = {"orders-2": {"instance_id": "i-2"}}
    assert "orders-2 is not in aws_hosts, and left as it is" in plan(
        "eu-central-1", present, {"name": "orders-1"}
    )


def test_hosts_are_spread_over_zones_unless_they_name_one() -> None:
    subnets = [{"availability_zone": f"eu-central-1{zone}", "subnet_id": zone} for zone in "cab"]
    hosts = STACK.planned_hosts([{"name": f"orders-{n}"} for n in range(4)])
    assert [STACK.subnet_of(subnets, host) for host in hosts] == [*"abca"]
    (named,) = STACK.planned_hosts([{"name": "orders-1", "zone": "c"}])
    assert STACK.subnet_of(subnets, named) == "c"
    # Each part by itself.
    hosts = STACK.planned_hosts([WEB | {"count": 2}, DATABASE | {"count": 3}])
    assert [host["name"] for host in hosts] == ["web-1", "web-2", "db-1", "db-2", "db-3"]
    assert [STACK.subnet_of(subnets, host) for host in hosts] == [*"ababc"]


def test_a_database_has_one_folder_for_its_backups_whoever_makes_them() -> None:
    def folders(*hosts: dict[str, Any], managed: bool = False) -> dict[str, str]:
        planned = STACK.planned_hosts(list(hosts))
        found: dict[str, str] = STACK.backup_folders(planned, managed=managed)
        return found

    assert folders({"name": "a"}, {"name": "b"}) == {"a": "a", "b": "b"}
    group = folders(WEB, WORKER, DATABASE | {"count": 3}, BALANCER)
    assert group == dict.fromkeys(("db-1", "db-2", "db-3"), "database")
    assert folders(WEB, WORKER, managed=True) == {"worker": "database"}
    assert folders(WEB, managed=True) == {"web": "database"}


def wrong(*hosts: dict[str, Any], **settings: Any) -> list[str]:
    every = {"aws_hosts": list(hosts), "aws_ssh_sources": ["198.51.100.7/32"], **settings}
    problems: list[str] = STACK.wrong_stack(every, "production")
    return problems


def test_hosts_of_several_parts_are_taken() -> None:
    assert wrong(WEB | {"count": 2}, WORKER, DATABASE, BALANCER) == []
    assert wrong(WEB, DATABASE | {"count": 3}) == []
    assert wrong(WEB, WORKER, aws_balancer=True, aws_database_type="db.t4g.small") == []
    assert wrong({"name": "both", "parts": ["web", "database"]}) == []


@pytest.mark.parametrize(
    ("hosts", "settings", "problem"),
    [
        ([WEB, {"name": "rest"}, DATABASE], {}, "aws_hosts names no parts for rest, expected them"),
        ([WORKER, DATABASE], {}, "aws_hosts has no host with the part web"),
        ([WEB], {}, "aws_hosts has 0 database hosts, expected 1, 3 or 5"),
        ([WEB, DATABASE | {"count": 2}], {}, "aws_hosts has 2 database hosts, expected 1, 3 or 5"),
        ([WEB, DATABASE, BALANCER | {"count": 2}], {}, "an address that moves between hosts"),
        ([WEB, DATABASE, BALANCER], {"aws_balancer": True}, "expected none beside aws_balancer"),
        ([WEB, DATABASE], {"aws_database_type": "db.t4g.small"}, "beside aws_database_type"),
        ([{"name": "orders-1"}], {"aws_balancer": True}, "aws_hosts names no parts, which"),
        ([WEB | {"count": 0}, DATABASE], {}, "aws_hosts has the count 0, expected 1 to 99"),
        ([WEB, {"name": "web-1"}, WEB | {"count": 2}], {}, "aws_hosts has web-1 more than once"),
        ([WEB], {"aws_database_type": "t3.small"}, 'aws_database_type is "t3.small", expected a'),
        ([WEB], {"aws_database_backup_days": 1}, "aws_database_backup_days is 1, expected 7 to 35"),
    ],
)
def test_what_cannot_work_is_named(
    hosts: list[dict[str, Any]], settings: dict[str, Any], problem: str
) -> None:
    assert problem in "; ".join(wrong(*hosts, **settings))


def test_the_plan_adds_up_what_aws_runs() -> None:
    hosts = STACK.planned_hosts([WEB | {"count": 2}])
    database = {"name": "The database", "there": False, "is": "MySQL", "type": "db.t4g.small",
                "disk_gb": 20, "multi_az": True}  # fmt: skip
    balancer = {"name": "The load balancer", "there": True, "is": "ports", "type": "balancer"}
    lines = PLAN.stack_plan(
        hosts, {}, IMAGES, PRICES, PRICES["region"], others=[database, balancer]
    )
    assert "The database will be made: MySQL, about 60 USD a month" in lines[2]
    assert "The load balancer is there: ports, about 20 USD a month" in lines[3]
    assert lines[4] == "Together about 126 USD a month; traffic is extra"
    unknown = [database | {"type": "db.r9g.large"}]
    lines = PLAN.stack_plan(hosts, {}, IMAGES, PRICES, PRICES["region"], others=unknown)
    assert (
        lines[3] == "Together about 46 USD a month, and what has to be looked up; traffic is extra"
    )


def sources(groups: list[dict[str, Any]]) -> dict[str, dict[int, list[str]]]:
    """Whom each group lets in, by port."""
    kinds = ("cidr_ip", "cidr_ipv6", "group_name")
    return {
        group["name"]: {
            port: [one for kind in kinds for one in rule.get(kind, [])]
            for rule in group["rules"]
            for port in rule["ports"]
        }
        for group in groups
    }


ALL = ["0.0.0.0/0", "::/0"]
SSH = {22: ["198.51.100.7/32"]}


def test_a_host_alone_lets_everybody_in_on_its_public_ports() -> None:
    found = sources(security_groups("shop", [], ["198.51.100.7/32"]))
    assert found == {"shop": SSH | {80: ALL, 443: ALL}}


def test_each_part_lets_in_whom_it_has_to() -> None:
    parts = ["web", "worker", "database", "balancer"]
    assert sources(security_groups("shop", parts, ["198.51.100.7/32"])) == {
        "shop": SSH,
        "shop.balancer": {80: ALL, 443: ALL},
        "shop.web": {80: ["shop.balancer"], 443: ["shop.balancer"]},
        "shop.worker": {},
        "shop.database": {
            3306: ["shop.web", "shop.worker", "shop.database"], 33061: ["shop.database"],
        },
    }  # fmt: skip


def test_what_aws_runs_is_let_in_and_lets_in() -> None:
    networks = ["172.31.0.0/20"]
    groups = security_groups("shop", ["web"], ["198.51.100.7/32"], networks, managed=True)
    assert sources(groups) == {
        "shop": SSH, "shop.web": {80: networks, 443: networks}, "shop.mysql": {3306: ["shop.web"]},
    }  # fmt: skip
    # Web hosts that clients call themselves.
    assert sources(security_groups("shop", ["web"], []))["shop.web"] == {80: ALL, 443: ALL}

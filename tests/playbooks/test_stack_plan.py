"""What the filters for hosts at AWS make of the settings."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.support.service_process import REPOSITORY

ROLE = REPOSITORY / "deploy" / "ansible" / "roles" / "aws"
PRICES = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["aws_prices"]
IMAGES = {arch: {"name": f"debian-{arch}"} for arch in ("x86_64", "arm64")}


def filters() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stack", ROLE / "filter_plugins" / "stack.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STACK = filters()


def plan(region: str, present: dict[str, Any], *hosts: dict[str, Any]) -> list[str]:
    planned = STACK.planned_hosts(list(hosts))
    lines: list[str] = STACK.stack_plan(planned, present, IMAGES, PRICES, region)
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
    assert [STACK.subnet_of(subnets, host, at) for at, host in enumerate(hosts)] == [*"abca"]
    (named,) = STACK.planned_hosts([{"name": "orders-1", "zone": "c"}])
    assert STACK.subnet_of(subnets, named, 0) == "c"

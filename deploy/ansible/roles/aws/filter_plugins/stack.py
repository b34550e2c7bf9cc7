"""Filters for the hosts of a stack at AWS: what is wrong with them, and what they cost."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Host = Mapping[str, Any]

HOURS = 730
# Where the digit of the generation is followed by g: t4g.small, c7gn.large. g4dn.xlarge is none.
ARM = re.compile(r"(a1|[a-z]+\d+g[a-z]*)\.")
PATTERNS = {
    "aws_region": (r"[a-z]{2}(-[a-z]+)+-\d", "a region such as eu-central-1"),
    "aws_ssh_public_key": (r"(\S.*\.pub)?", "a file with a public key, such as ~/.ssh/id.pub"),
    "aws_backup_bucket": (
        r"([a-z0-9][a-z0-9-]{1,61}[a-z0-9])?",
        "3 to 63 small letters, digits and '-'",
    ),
}
OF_HOSTS = {
    "name": (r"[a-z][a-z0-9-]{0,30}", "at most 31 small letters, digits and '-'"),
    "type": (r"[a-z0-9-]+\.[a-z0-9-]+", "a type such as t3.small"),
    "zone": (r"[a-z]?", "the letter of a zone, such as a"),
}
STACK = r"[a-z][a-z0-9-]{0,20}"
DAYS = (1, 36500)
DISK_GB = (10, 16384)


def wrong_stack(settings: Mapping[str, Any], stack: str) -> list[str]:
    """Return a sentence for each setting that cannot work. Their types are right."""
    return list(_wrong(settings, stack))


def _wrong(settings: Mapping[str, Any], stack: str) -> Iterator[str]:
    if not re.fullmatch(STACK, stack):
        expected = "at most 21 small letters, digits and '-'"
        yield f"the folder is called {json.dumps(stack)}, expected {expected}"
    for name, (pattern, expected) in PATTERNS.items():
        if name in settings and not re.fullmatch(pattern, str(settings[name])):
            yield f"{name} is {json.dumps(settings[name])}, expected {expected}"
    days = int(settings.get("aws_backup_days", DAYS[0]))
    if not DAYS[0] <= days <= DAYS[1]:
        yield f"aws_backup_days is {days}, expected {DAYS[0]} to {DAYS[1]}"
    yield from _wrong_sources(settings)
    yield from _wrong_hosts(settings["aws_hosts"])


def _wrong_sources(settings: Mapping[str, Any]) -> Iterator[str]:
    sources = settings["aws_ssh_sources"]
    if not sources:
        yield "aws_ssh_sources is empty, expected the networks that may reach SSH, yours among them"
    for source in sources:
        try:
            network = ipaddress.ip_network(source)
        except ValueError:
            yield f"aws_ssh_sources has {json.dumps(source)}, expected a network: 198.51.100.7/32"
            continue
        if network.prefixlen == 0 and not settings.get("aws_ssh_from_anywhere"):
            yield (
                f"aws_ssh_sources has {source}, which is everybody; name your networks, or set"
                " aws_ssh_from_anywhere: true"
            )


def _wrong_hosts(hosts: Sequence[Host]) -> Iterator[str]:
    if not hosts:
        yield "aws_hosts is empty, expected at least one host"
    names = [host["name"] for host in hosts]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"aws_hosts has {name} more than once"
    for host in hosts:
        for key, (pattern, expected) in OF_HOSTS.items():
            if host.get(key) is not None and not re.fullmatch(pattern, str(host[key])):
                yield f"aws_hosts has the {key} {json.dumps(host[key])}, expected {expected}"
        size = int(host.get("disk_gb") or DISK_GB[0])
        if not DISK_GB[0] <= size <= DISK_GB[1]:
            yield f"aws_hosts has the disk_gb {size}, expected {DISK_GB[0]} to {DISK_GB[1]}"


def planned_hosts(hosts: Sequence[Host]) -> list[dict[str, Any]]:
    """Return the hosts with what they do not set, and with their architecture."""
    defaults: Host = {"type": "t3.small", "disk_gb": 20, "zone": ""}
    planned = [{**defaults, **{k: v for k, v in host.items() if v is not None}} for host in hosts]
    return [
        {**host, "architecture": "arm64" if ARM.match(host["type"]) else "x86_64"}
        for host in planned
    ]


def retyped_hosts(hosts: Sequence[Host], present: Mapping[str, Any]) -> list[str]:
    """Return those that are there with another type than the planned one."""
    return [
        f"{host['name']} ({present[host['name']]['instance_type']} to {host['type']})"
        for host in hosts
        if host["name"] in present and present[host["name"]]["instance_type"] != host["type"]
    ]


def subnet_of(subnets: Sequence[Mapping[str, Any]], host: Host, at: int) -> str:
    """Return the id of a host's subnet: that of its zone, or the next in turn."""
    zone = str(host["zone"])
    choice = sorted(
        (one["availability_zone"], one["subnet_id"])
        for one in subnets
        if one["availability_zone"].endswith(zone)
    )
    return str(choice[at % len(choice)][1])


def stack_plan(
    hosts: Sequence[Host],
    present: Mapping[str, Any],
    images: Mapping[str, Any],
    prices: Mapping[str, Any],
    region: str,
) -> list[str]:
    """Return a line for each host: whether it is there, what it is, what it costs a month."""
    lines = []
    for host in hosts:
        found = present.get(host["name"])
        image = images[host["architecture"]]["name"]
        state = f"is there ({found['instance_id']})" if found else f"will be made from {image}"
        size = f"{host['type']}, {host['disk_gb']} GB"
        lines.append(f"{host['name']} {state}: {size}, {_cost(host, prices, region)}")
    left = sorted(set(present) - {host["name"] for host in hosts})
    return lines + [f"{name} is not in aws_hosts, and left as it is" for name in left]


def _cost(host: Host, prices: Mapping[str, Any], region: str) -> str:
    hour = prices["types"].get(host["type"])
    if hour is None or region != prices["region"]:
        return "a price to look up at https://calculator.aws"
    month = (hour + prices["address"]) * HOURS + host["disk_gb"] * prices["gb"]
    return f"about {month:.0f} USD a month, on demand, {region}, {prices['of']}"


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "wrong_stack": wrong_stack,
            "planned_hosts": planned_hosts,
            "retyped_hosts": retyped_hosts,
            "subnet_of": subnet_of,
            "stack_plan": stack_plan,
        }

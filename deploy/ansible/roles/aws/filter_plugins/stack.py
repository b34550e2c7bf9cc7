"""Filters for the hosts of a stack at AWS: what is wrong with its settings, and what they mean."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Host = Mapping[str, Any]

# Where the digit of the generation is followed by g: t4g.small, c7gn.large. g4dn.xlarge is none.
ARM = re.compile(r"(a1|[a-z]+\d+g[a-z]*)\.")
PATTERNS = {
    "aws_region": (r"[a-z]{2}(-[a-z]+)+-\d", "a region such as eu-central-1"),
    "aws_ssh_public_key": (r"(\S.*\.pub)?", "a file with a public key, such as ~/.ssh/id.pub"),
    "aws_backup_bucket": (
        r"([a-z0-9][a-z0-9-]{1,61}[a-z0-9])?",
        "3 to 63 small letters, digits and '-'",
    ),
    "aws_database_type": (r"(db\.[a-z0-9-]+\.[a-z0-9-]+)?", "a type such as db.t4g.small"),
    "aws_database_version": (r"\d+\.\d+", 'MySQL\'s series in quotation marks, such as "9.7"'),
}
OF_HOSTS = {
    "name": (r"[a-z][a-z0-9-]{0,30}", "at most 31 small letters, digits and '-'"),
    "type": (r"[a-z0-9-]+\.[a-z0-9-]+", "a type such as t3.small"),
    "zone": (r"[a-z]?", "the letter of a zone, such as a"),
}
# No "--", and no "-" at the end, which a database's name cannot have.
STACK = r"(?=.{1,21}$)[a-z][a-z0-9]*(-[a-z0-9]+)*"
DISK_GB = (10, 16384)
COUNT = (1, 99)
# What RDS takes for gp3 without more to set, and how long it keeps backups.
RANGES = {
    "aws_backup_days": (1, 36500),
    "aws_database_disk_gb": (20, 399),
    "aws_database_backup_days": (7, 35),
}


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
    for name, (least, most) in RANGES.items():
        if not least <= int(settings.get(name, least)) <= most:
            yield f"{name} is {settings[name]}, expected {least} to {most}"
    yield from _wrong_sources(settings)
    hosts = settings["aws_hosts"]
    yield from _wrong_hosts(hosts)
    yield from _wrong_parts(
        planned_hosts(hosts),
        balancer=bool(settings.get("aws_balancer")),
        database=bool(settings.get("aws_database_type")),
    )


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
    names = Counter(name for host in hosts for name in _names(host))
    for name in sorted(name for name, times in names.items() if times > 1):
        yield f"aws_hosts has {name} more than once"
    for host in hosts:
        count = host.get("count")
        if count is not None and not COUNT[0] <= int(count) <= COUNT[1]:
            yield f"aws_hosts has the count {count}, expected {COUNT[0]} to {COUNT[1]}"
        for key, (pattern, expected) in OF_HOSTS.items():
            if host.get(key) is not None and not re.fullmatch(pattern, str(host[key])):
                yield f"aws_hosts has the {key} {json.dumps(host[key])}, expected {expected}"
        size = int(host.get("disk_gb") or DISK_GB[0])
        if not DISK_GB[0] <= size <= DISK_GB[1]:
            yield f"aws_hosts has the disk_gb {size}, expected {DISK_GB[0]} to {DISK_GB[1]}"


def _wrong_parts(planned: Sequence[Host], *, balancer: bool, database: bool) -> Iterator[str]:
    """Say what a stack of several parts cannot be; both are about what AWS runs itself."""
    having = Counter(part for host in planned for part in host["parts"])
    without = [host["name"] for host in planned if not host["parts"]]
    if not having:
        if balancer or database:
            yield (
                "aws_hosts names no parts, which aws_balancer and aws_database_type need, such as"
                " parts: [web]"
            )
        return
    if without:
        yield f"aws_hosts names no parts for {', '.join(without)}, expected them for all or none"
    if not having["web"]:
        yield "aws_hosts has no host with the part web"
    if database and having["database"]:
        yield "aws_hosts has database hosts, expected none beside aws_database_type"
    if not database and having["database"] not in {1, 3, 5}:
        yield (
            f"aws_hosts has {having['database']} database hosts, expected 1, 3 or 5 (of two neither"
            " could go on without the other), or aws_database_type"
        )
    if balancer and having["balancer"]:
        yield "aws_hosts has a balancer host, expected none beside aws_balancer"
    if having["balancer"] > 1:
        yield (
            f"aws_hosts has {having['balancer']} balancer hosts, expected one: an address that"
            " moves between hosts does not work in AWS's networks; aws_balancer is for that"
        )


def _names(host: Host) -> list[str]:
    """Return the names of the hosts that an entry stands for."""
    if host.get("count") is None:
        return [host["name"]]
    return [f"{host['name']}-{number + 1}" for number in range(min(int(host["count"]), COUNT[1]))]


def planned_hosts(hosts: Sequence[Host]) -> list[dict[str, Any]]:
    """Return each host with what its entry does not set, and with its architecture.

    `turn` counts the hosts with the same parts, so that these are spread over the zones.
    """
    defaults: Host = {"type": "t3.small", "disk_gb": 20, "zone": "", "parts": []}
    turns: Counter[str] = Counter()
    planned = []
    for entry in hosts:
        host = {**defaults, **{k: v for k, v in entry.items() if v is not None and k != "count"}}
        host["parts"] = sorted(host["parts"])
        host["architecture"] = "arm64" if ARM.match(host["type"]) else "x86_64"
        alike = " ".join(host["parts"])
        for name in _names(entry):
            planned.append({**host, "name": name, "turn": turns[alike]})
            turns[alike] += 1
    return planned


def backup_folders(planned: Sequence[Host], *, managed: bool) -> dict[str, str]:
    """Return the folder of the bucket for each host that makes backups.

    A host alone has one of its own. Where hosts share a database its backups are one chain, whoever
    makes them: the database hosts, or else one of those that deploy.yml takes for the head.
    """
    if not any(host["parts"] for host in planned):
        return {host["name"]: host["name"] for host in planned}
    for part in ("worker", "web") if managed else ("database",):
        if names := [host["name"] for host in planned if part in host["parts"]]:
            return dict.fromkeys(names, "database")
    return {}


def retyped_hosts(hosts: Sequence[Host], present: Mapping[str, Any]) -> list[str]:
    """Return those that are there with another type than the planned one."""
    return [
        f"{host['name']} ({present[host['name']]['instance_type']} to {host['type']})"
        for host in hosts
        if host["name"] in present and present[host["name"]]["instance_type"] != host["type"]
    ]


def subnet_of(subnets: Sequence[Mapping[str, Any]], host: Host) -> str:
    """Return the id of a host's subnet: that of its zone, or the next in turn."""
    zone = str(host["zone"])
    choice = sorted(
        (one["availability_zone"], one["subnet_id"])
        for one in subnets
        if one["availability_zone"].endswith(zone)
    )
    return str(choice[host["turn"] % len(choice)][1])


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "wrong_stack": wrong_stack,
            "planned_hosts": planned_hosts,
            "backup_folders": backup_folders,
            "retyped_hosts": retyped_hosts,
            "subnet_of": subnet_of,
        }

"""The filter that says whom the hosts of a stack at AWS let in, by what they are there for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Rule = dict[str, Any]

EVERYBODY: Rule = {"cidr_ip": ["0.0.0.0/0"], "cidr_ipv6": ["::/0"]}
MYSQL, GROUP_REPLICATION = 3306, 33061


def security_groups(
    name: str,
    parts: Sequence[str],
    ssh_sources: Sequence[str],
    balancer_networks: Sequence[str] = (),
    *,
    managed: bool = False,
) -> list[dict[str, Any]]:
    """Return the security groups: the one of all hosts, and one for each part.

    Parts are empty where each host is a whole service. The networks are those of a load balancer
    that AWS runs. With a managed database there is a group for it, too.
    """
    ssh = _tcp(
        "SSH", [22],
        cidr_ip=[one for one in ssh_sources if ":" not in one],
        cidr_ipv6=[one for one in ssh_sources if ":" in one],
    )  # fmt: skip
    if not parts:
        return [_group(name, "Hosts of the order service", [ssh, _http(EVERYBODY)])]

    def of(*wanted: str) -> Rule:
        return {"group_name": [f"{name}.{part}" for part in wanted if part in parts]}

    callers: Rule = {"cidr_ip": list(balancer_networks)} if balancer_networks else EVERYBODY
    rules = {
        "balancer": [_http(EVERYBODY)],
        "web": [_http(of("balancer") if "balancer" in parts else callers)],
        "worker": [],
        "database": [
            _tcp("MySQL", [MYSQL], **of("web", "worker", "database")),
            _tcp("Group Replication", [GROUP_REPLICATION], **of("database")),
        ],
    }
    groups = [_group(name, "Hosts of the order service", [ssh])]
    groups += [
        _group(f"{name}.{part}", f"Hosts of the order service: {part}", allowed)
        for part, allowed in rules.items()
        if part in parts
    ]
    if managed:
        allowed = [_tcp("MySQL", [MYSQL], **of("web", "worker"))]
        groups.append(_group(f"{name}.mysql", "The database of the order service", allowed))
    return groups


def _group(name: str, description: str, rules: list[Rule]) -> dict[str, Any]:
    return {"name": name, "description": description, "rules": rules}


def _http(source: Rule) -> Rule:
    return _tcp("HTTP and HTTPS", [80, 443], **source)


def _tcp(description: str, ports: list[int], **source: Any) -> Rule:
    return {"proto": "tcp", "ports": ports, "rule_desc": description, **source}


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by name."""
        return {"security_groups": security_groups}

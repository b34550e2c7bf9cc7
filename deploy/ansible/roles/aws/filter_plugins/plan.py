"""The filter that tells what there will be of a stack at AWS, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Thing = Mapping[str, Any]

HOURS = 730
UNKNOWN = "a price to look up at https://calculator.aws"


def stack_plan(
    hosts: Sequence[Thing],
    present: Mapping[str, Any],
    images: Mapping[str, Any],
    prices: Mapping[str, Any],
    region: str,
    *,
    others: Sequence[Thing] = (),
) -> list[str]:
    """Return a line for each host: whether it is there, what it is, what it costs a month.

    Others are a managed database and a load balancer: `name`, whether it is `there`, what it `is`,
    and the `type` that has a price, with `disk_gb` and `multi_az` of a database.
    """
    known = region == prices["region"]
    costs = [_of_host(host, prices) if known else None for host in hosts]
    lines = [
        f"{_described(host, present, images)}, {_month(cost, prices)}"
        for host, cost in zip(hosts, costs, strict=True)
    ]
    for other in others:
        cost = _of_other(other, prices) if known else None
        state = "is there" if other["there"] else "will be made"
        lines.append(f"{other['name']} {state}: {other['is']}, {_month(cost, prices)}")
        costs.append(cost)
    lines.extend(_together(costs))
    left = sorted(set(present) - {host["name"] for host in hosts})
    return lines + [f"{name} is not in aws_hosts, and left as it is" for name in left]


def _described(host: Thing, present: Mapping[str, Any], images: Mapping[str, Any]) -> str:
    found = present.get(host["name"])
    image = images[host["architecture"]]["name"]
    state = f"is there ({found['instance_id']})" if found else f"will be made from {image}"
    parts = f" ({', '.join(host['parts'])})" if host["parts"] else ""
    return f"{host['name']}{parts} {state}: {host['type']}, {host['disk_gb']} GB"


def _of_host(host: Thing, prices: Mapping[str, Any]) -> float | None:
    hour = prices["types"].get(host["type"])
    if hour is None:
        return None
    return float((hour + prices["address"]) * HOURS + host["disk_gb"] * prices["gb"])


def _of_other(other: Thing, prices: Mapping[str, Any]) -> float | None:
    hour = prices["types"].get(other["type"])
    if hour is None:
        return None
    disk = other.get("disk_gb", 0) * prices["database_gb"]
    return float((hour * HOURS + disk) * (2 if other.get("multi_az") else 1))


def _month(cost: float | None, prices: Mapping[str, Any]) -> str:
    if cost is None:
        return UNKNOWN
    return f"about {cost:.0f} USD a month, on demand, {prices['region']}, {prices['of']}"


def _together(costs: Sequence[float | None]) -> Iterator[str]:
    if len(costs) > 1:
        known = [cost for cost in costs if cost is not None]
        rest = "" if len(known) == len(costs) else ", and what has to be looked up"
        yield f"Together about {sum(known):.0f} USD a month{rest}; traffic is extra"


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by name."""
        return {"stack_plan": stack_plan}

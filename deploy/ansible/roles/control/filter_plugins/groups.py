"""A filter that finds what is wrong with the groups of hosts, and with what belongs to them."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

PARTS = ("web", "worker", "database", "balancer")
# A group has to outlive the loss of one.
DATABASE_HOSTS = (0, 1, 3, 5)

Groups = Mapping[str, Sequence[str]]
Settings = Mapping[str, Any]


def wrong_groups(groups: Groups, settings: Settings, addresses: Sequence[str]) -> list[str]:
    """Return a sentence for each thing that cannot work.

    Args:
        groups: the hosts by group.
        settings: of one of the hosts.
        addresses: by which the hosts reach each other, in the order of `order_service`.
    """
    hosts = groups["order_service"]
    parts = {part: list(groups.get(part, [])) for part in PARTS}
    if not any(set(hosts) & set(named) for named in parts.values()):
        return list(_wrong_without_groups(hosts, settings))
    checks = (_wrong_members, _wrong_databases, _wrong_parts, _wrong_settings)
    problems = [problem for find in checks for problem in find(hosts, parts, settings)]
    return problems + list(_wrong_addresses(hosts, addresses))


def _wrong_without_groups(hosts: Sequence[str], settings: Settings) -> Iterator[str]:
    if len(hosts) > 1 and not settings.get("independent_hosts"):
        yield (
            f"the inventory has {len(hosts)} hosts, and each gets a MySQL of its own: what one has"
            " accepted the others do not know, so behind a load balancer they would answer 404 to"
            " each other's orders. For one service on several hosts name them in the groups"
            " web, worker, database and balancer; for hosts that have nothing in common set"
            " independent_hosts: true"
        )


def _wrong_members(hosts: Sequence[str], parts: Groups, settings: Settings) -> Iterator[str]:
    named = {host for group in parts.values() for host in group}
    for host in sorted(named - set(hosts)):
        yield f"{host} is not in order_service, expected its groups to be children of that"
    for host in sorted(set(hosts) - named):
        yield f"{host} is in none of the groups {', '.join(PARTS)}, expected one or more"
    if settings.get("independent_hosts"):
        yield "independent_hosts is true, and there are groups: expected one of them"


def _wrong_databases(_: Sequence[str], parts: Groups, settings: Settings) -> Iterator[str]:
    count = len(parts["database"])
    if count not in DATABASE_HOSTS:
        yield (
            f"the group database has {count} hosts, expected 1, 3 or 5: an order counts once most"
            " of them have it, so of two neither can go on without the other, and four are no safer"
            " than three"
        )
    if count and settings.get("database_url"):
        yield "database_url is set, and the group database has hosts: expected one of them"
    if not count and not settings.get("database_url"):
        yield "there is no database: expected hosts in the group database, or database_url"


def _wrong_parts(hosts: Sequence[str], parts: Groups, _: Settings) -> Iterator[str]:
    if not parts["web"]:
        yield "the group web has no hosts, expected one or more"
    for host in hosts:
        if host in parts["web"] and host in parts["balancer"]:
            yield f"{host} is in web and in balancer, which both take ports 80 and 443"


def _wrong_settings(_: Sequence[str], parts: Groups, settings: Settings) -> Iterator[str]:
    if parts["balancer"] and (settings.get("trusted_proxies") or settings.get("proxy_protocol")):
        yield (
            "trusted_proxies or proxy_protocol is set, and the group balancer has hosts, whom web"
            " hosts listen to by themselves: expected one of them"
        )
    if len(parts["web"]) > 1 and not parts["balancer"] and "trusted_proxies" not in settings:
        yield (
            "there are several web hosts and no balancer, so web hosts do not know whose health"
            " checks to answer, and whose word on clients' addresses counts: expected"
            " trusted_proxies, the networks of your cloud's load balancer, or [] if clients reach"
            " each web host themselves"
        )
    if len(parts["web"]) > 1 and settings.get("acme_email"):
        yield (
            "acme_email is set, and there are several web hosts, of which the authority would ask"
            " any: expected tls_certificate, or a load balancer with the certificate"
        )
    if settings.get("balancer_address") and len(parts["balancer"]) == 1:
        yield (
            "balancer_address is set, and the group balancer has one host: expected two, between"
            " which it goes"
        )
    if str(settings.get("processor_threads")) == "0" and not (
        parts["worker"] or settings.get("worker_threads")
    ):
        yield (
            "processor_threads is 0, and nobody else processes orders: expected hosts in the group"
            " worker, or worker_threads"
        )


def _wrong_addresses(hosts: Sequence[str], all_addresses: Sequence[str]) -> Iterator[str]:
    """Find those that firewalls, certificates and `address:port` cannot have."""
    if len(hosts) == 1:
        return
    addresses = dict(zip(hosts, all_addresses, strict=True))
    for host, address in addresses.items():
        if not _is_address(address):
            yield (
                f"the other hosts know {host} as {address}, expected private_address: the IPv4"
                " address by which they reach it"
            )
    for address, times in Counter(addresses.values()).items():
        if times > 1:
            named = " and ".join(host for host in hosts if addresses[host] == address)
            yield f"{named} have the same private_address, {address}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"wrong_groups": wrong_groups}

"""Filters that find what is wrong with a user's settings and with the control node."""

from __future__ import annotations

import difflib
import importlib
import ipaddress
import json
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# From 0 to 1: `image_regitsry` is taken for `image_registry`, `my_registry` is not.
LIKENESS = 0.85
NETWORKS = "networks such as 203.0.113.0/24 or 2001:db8::/32, with zeros behind the prefix"
MIRROR = r"https?://[^/\s]+/?"
CLIENT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
ADDRESS = r"https?://[\w.:\[\]-]+([/?][!-~]*)?"
HEADER = r"[A-Za-z0-9-]+: [ -~]+"
# What the host's program puts into alerts.
PLACEHOLDERS = (
    "action", "advice", "alert", "guide", "host", "key", "severity", "since", "state", "text",
    "title",
)  # fmt: skip
# The stack's own.
PROMETHEUS = "prometheus"


def misspelled(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return the names that are close to a known one, each with that one.

    A setting's name behind `vault_` is what people call the encrypted value that they set it to.
    """
    allowed = list(known)
    found = {}
    for name in sorted(set(names) - set(allowed)):
        if name.removeprefix("vault_") in allowed:
            continue
        if close := difflib.get_close_matches(name, allowed, n=1, cutoff=LIKENESS):
            found[name] = close[0]
    return found


def wrong_settings(
    settings: Mapping[str, Any],
    ranges: Mapping[str, tuple[float, float]],
    patterns: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Return a sentence for each setting that cannot work. Their types are right."""
    problems = []
    for name, (least, most) in ranges.items():
        if name in settings and not least <= float(settings[name]) <= most:
            problems.append(_problem(settings, name, f"a number from {least} to {most}"))
    for name, pattern in patterns.items():
        if name in settings and not re.fullmatch(pattern["matches"], str(settings[name])):
            problems.append(_problem(settings, name, pattern["expected"]))
    others = (_wrong_networks, _wrong_container_networks, _wrong_clients, _wrong_alerts, _missing)
    return problems + [problem for find in others for problem in find(settings)]


def _wrong_networks(settings: Mapping[str, Any]) -> Iterator[str]:
    if not all(map(_network, settings.get("ssh_allowed_sources") or [])):
        yield _problem(settings, "ssh_allowed_sources", NETWORKS)
    for extra in settings.get("extra_open_ports") or []:
        if not 1 <= int(extra["port"]) <= 65535:  # noqa: PLR2004 - the ports of TCP and UDP
            yield f"extra_open_ports has the port {extra['port']}, expected one from 1 to 65535"
        if not all(map(_network, extra.get("sources") or [])):
            yield f"extra_open_ports has the sources {extra['sources']}, expected {NETWORKS}"
    proxies = [_network(one) for one in settings.get("trusted_proxies") or []]
    if not all(one and one.prefixlen for one in proxies):
        yield _problem(settings, "trusted_proxies", f"{NETWORKS}, and none of /0")
    mirrors = settings.get("docker_registry_mirrors") or []
    if not all(re.fullmatch(MIRROR, mirror) for mirror in mirrors):
        expected = "addresses without a path, such as https://mirror.example.com"
        yield _problem(settings, "docker_registry_mirrors", expected)


def _wrong_container_networks(settings: Mapping[str, Any]) -> Iterator[str]:
    if not _sized(settings.get("container_networks", "0.0.0.0/20"), 20):
        expected = "an IPv4 network of 4,096 addresses, such as 10.200.0.0/20"
        yield _problem(settings, "container_networks", expected)
    elif web := settings.get("web_subnet"):
        others = [settings["order_service_networks"][part] for part in ("docker0", "others")]
        if not _sized(web, 24) or overlapping({web: ""}, others):
            expected = "an IPv4 network of 256 addresses, such as 192.168.213.0/24, outside of "
            yield _problem(settings, "web_subnet", expected + " and ".join(others))


def _sized(text: str, prefix: int) -> bool:
    network = _network(text)
    return isinstance(network, ipaddress.IPv4Network) and network.prefixlen == prefix


def _wrong_clients(settings: Mapping[str, Any]) -> Iterator[str]:
    clients = settings.get("api_clients") or []
    names = [str(one["name"]) for one in clients]
    taken = {PROMETHEUS, settings.get("api_username") or "admin"}
    for one, name in zip(clients, names, strict=True):
        if not re.fullmatch(CLIENT, name):
            yield (
                f"api_clients has the name {json.dumps(name)}, expected 1 to 63 letters, digits,"
                " '.', '_' and '-'"
            )
        elif name in taken or names.count(name) > 1:
            yield f"api_clients has the name {name}, which is taken; expected each name once"
        if not one.get("scopes") and not one.get("revoked"):
            yield f"api_clients has {json.dumps(name)} without scopes, expected at least one"


def _wrong_alerts(settings: Mapping[str, Any]) -> Iterator[str]:
    """Find what is wrong with them; it may be secret, so no value is told."""
    for name in ("alert_url", "heartbeat_url"):
        if (url := settings.get(name)) and not re.fullmatch(ADDRESS, url, re.ASCII):
            yield (
                f"{name} is no address such as https://alerts.example.com/orders, in ASCII and"
                " without a password, which belongs into alert_headers"
            )
    for name, value in (settings.get("alert_headers") or {}).items():
        if not re.fullmatch(HEADER, f"{name}: {value}", re.ASCII):
            yield f"alert_headers has {json.dumps(name)}, expected a header with a line of text"
    wanted = set(PLACEHOLDERS)
    for template in map(string.Template, _texts(settings.get("alert_template"))):
        if not template.is_valid() or not wanted.issuperset(template.get_identifiers()):
            expected = ", ".join(f"${name}" for name in PLACEHOLDERS)
            yield f"alert_template has a placeholder that is none of {expected}; $$ is a dollar"
    for name in ("alert_headers", "alert_template"):
        if settings.get(name) and not settings.get("alert_url"):
            yield f"{name} is set, and alert_url is missing"


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping | list):
        for part in template.values() if isinstance(template, Mapping) else template:
            yield from _texts(part)


def _missing(settings: Mapping[str, Any]) -> Iterator[str]:
    if settings.get("order_handler") == "webhook" and not settings.get("webhook_url"):
        yield "order_handler is webhook, and webhook_url is missing"
    speaks = str(settings.get("proxy_protocol")).lower() in ("true", "yes", "on", "1")
    if speaks and not settings.get("trusted_proxies"):
        yield "proxy_protocol is true, and trusted_proxies is missing: who speaks it"
    if settings.get("image_digest") and not settings.get("image_registry"):
        yield "image_digest is set, and image_registry is missing"


def _problem(settings: Mapping[str, Any], name: str, expected: str) -> str:
    return f"{name} is {json.dumps(settings[name], default=str)}, expected {expected}"


def in_networks(address: str, networks: Iterable[str]) -> bool:
    """Return whether an address is in one of the networks."""
    # sshd names the interface of a link-local address after a percent sign.
    plain = ipaddress.ip_address(address.partition("%")[0])
    return any(plain in network for network in map(_network, networks) if network)


def overlapping(networks: Mapping[str, str], others: Iterable[str]) -> list[str]:
    """Return those of the networks that overlap one of the others, each with what it is.

    They are networks or single addresses, IPv4 or IPv6; the others may be addresses in a network.
    """
    taken = [ipaddress.ip_interface(other).network for other in others]
    return [
        f"{network} ({what})"
        for network, what in networks.items()
        if any(ipaddress.ip_interface(network).network.overlaps(one) for one in taken)
    ]


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def collection_version(name: str) -> str:
    """Return the version of a collection on the control node; 0 when it is not there."""
    try:
        package = importlib.import_module(f"ansible_collections.{name}")
        manifest = json.loads((Path(next(iter(package.__path__))) / "MANIFEST.json").read_text())
    except (ImportError, OSError):
        return "0"
    return str(manifest["collection_info"]["version"])


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "misspelled": misspelled,
            "wrong_settings": wrong_settings,
            "in_networks": in_networks,
            "overlapping": overlapping,
            "collection_version": collection_version,
        }

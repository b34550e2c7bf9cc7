#!/usr/bin/python
"""Tells what a host has of what the service needs; changes nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: host_survey
short_description: Tells what a host has of what the service needs
description:
  - Waits for cloud-init, which may install packages at a host's first start, and looks around.
options:
  ports:
    type: list
    elements: int
    required: true
    description: The ports that must be free, or the service's own.
  programs:
    type: list
    elements: str
    default: []
    description: The names of the service's own programs, which may have the ports.
  names:
    type: list
    elements: str
    default: []
    description: Names to look up, besides those of the package sources.
  project:
    type: str
    required: true
    description: The Compose project whose containers may have the ports.
  first_start_seconds:
    type: float
    default: 600
    description: How long to wait for cloud-init.
"""
EXAMPLES = "- host_survey: {ports: [80, 443], project: shop}"
RETURN = """
free: {description: The fullest disk's free space in MiB and a folder on it, type: dict}
taken: {description: The ports that other programs have and who they are, type: list}
unknown_names: {description: The names that could not be looked up, type: list}
memory_mb: {description: The memory in all, type: int}
init: {description: The first process's name, type: str}
first_start_ended: {description: Whether cloud-init has, type: bool}
processors: {description: How many there are, type: int}
clock_set: {description: Whether a time server sets the clock, type: bool}
reached: {description: 'Networks and addresses that it sends to, with what they are', type: dict}
container_networks: {description: 'The networks that Docker has, with their names', type: dict}
docker_ce: {description: Whether Docker from docker.com is installed, type: bool}
"""
RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
# Of the program `timeout`.
TIMED_OUT = 124
DATA = ("/opt", "/var/lib", "/var/lib/docker")


def survey(module: AnsibleModule) -> dict[str, Any]:
    """Return the findings."""
    return {
        "first_start_ended": first_start_ended(module),
        "free": free(),
        "taken": taken(module),
        "unknown_names": [name for name in names(module) if not known(name)],
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "processors": len(os.sched_getaffinity(0)),
        "clock_set": clock_set(module),
        "reached": reached(module),
        "container_networks": container_networks(module),
        "init": Path("/proc/1/comm").read_text().strip(),
        "docker_ce": installed(module, "docker-ce"),
    }


def first_start_ended(module: AnsibleModule) -> bool:
    """Return whether cloud-init is done, once it is or the time is over."""
    if not shutil.which("cloud-init"):
        return True
    seconds = str(module.params["first_start_seconds"])
    status, _, _ = module.run_command(["timeout", seconds, "cloud-init", "status", "--wait"])
    return bool(status != TIMED_OUT)


def reached(module: AnsibleModule) -> dict[str, str]:
    """Return the networks of IPv4 that the host has routes to, and its name servers."""
    _, answer, _ = module.run_command(["ip", "-4", "-json", "route"])
    found = {
        route["dst"]: f"by {route.get('dev', 'a route')}"
        for route in json.loads(answer or "[]")
        if route["dst"] != "default" and not route.get("dev", "").startswith(("docker", "br-"))
    }
    texts = [path.read_text() for path in map(Path, RESOLVERS) if path.exists()]
    servers = re.findall(r"^nameserver ([\d.]+)$", "\n".join(texts), re.MULTILINE)
    return found | dict.fromkeys(servers, "a name server")


def container_networks(module: AnsibleModule) -> dict[str, str]:
    """Return the networks that Docker has, where it is."""
    if not shutil.which("docker"):
        return {}
    _, names, _ = module.run_command(["docker", "network", "ls", "--format={{.Name}}"])
    form = "--format={{range .IPAM.Config}}{{.Subnet}} {{$.Name}}\n{{end}}"
    found = module.run_command(["docker", "network", "inspect", form, *names.split()])[1]
    return dict(line.split() for line in found.splitlines() if line.strip())


def free() -> dict[str, Any]:
    """Return the least free space of the disks that hold data, in MiB, and where."""
    folders = [folder for folder in DATA if Path(folder).exists()]
    least = min(folders, key=lambda folder: shutil.disk_usage(folder).free)
    return {"mb": shutil.disk_usage(least).free // 2**20, "folder": least}


def taken(module: AnsibleModule) -> list[str]:
    """Return the ports that programs other than the service listen on, with their names."""
    found = []
    for port in module.params["ports"]:
        command = ["ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes"]
        _, listening, _ = module.run_command([*command, f"sport = :{port}"])
        programs = set(re.findall(r'"([^"]+)",pid=(\d+)', listening))
        others = {name for name, pid in programs if not own(module, port, name, pid)}
        if listening.strip() and (others or not programs):
            found.append(f"{port} ({', '.join(sorted(others)) or 'another program'})")
    return found


def own(module: AnsibleModule, port: int, program: str, pid: str) -> bool:
    """Return whether the program that has the port is the service's own.

    That is one of its containers, for which Docker publishes the port, or which has the host's
    network.
    """
    if program == "docker-proxy":
        return bool(containers(module, f"--filter=publish={port}"))
    group = Path(f"/proc/{pid}/cgroup")
    its_group = group.read_text() if group.exists() else ""
    return program in module.params["programs"] or any(
        container in its_group for container in containers(module)
    )


def containers(module: AnsibleModule, *filters: str) -> list[str]:
    """Return the ids of the service's containers that run, where Docker is."""
    if not shutil.which("docker"):
        return []
    label = f"label=com.docker.compose.project={module.params['project']}"
    command = ["docker", "ps", "--quiet", "--no-trunc", f"--filter={label}", *filters]
    found: str = module.run_command(command)[1]
    return found.split()


def clock_set(module: AnsibleModule) -> bool:
    """Return whether a time server sets the clock; a container has that of the machine below."""
    if module.run_command(["systemd-detect-virt", "--container", "--quiet"])[0] == 0:
        return True
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    return bool(module.run_command(command)[1].strip() == "yes")


def names(module: AnsibleModule) -> list[str]:
    """Return the names that deploying needs: those of the package sources, unless by a proxy."""
    wanted = set(module.params["names"])
    if not module.run_command(["apt-config", "shell", "PROXY", "Acquire::http::Proxy"])[1]:
        _, sources, _ = module.run_command(["apt-get", "--print-uris", "update"])
        wanted |= set(re.findall(r"^'https?://([^/:']+)", sources, re.MULTILINE))
    return sorted(wanted)


def known(name: str) -> bool:
    """Return whether a name has an address."""
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def installed(module: AnsibleModule, package: str) -> bool:
    """Return whether a package is installed."""
    command = ["dpkg-query", "--show", "--showformat=${Status}", package]
    return "ok installed" in module.run_command(command)[1]


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "int", "required": True},
            "programs": {"type": "list", "elements": "str", "default": []},
            "names": {"type": "list", "elements": "str", "default": []},
            "project": {"type": "str", "required": True},
            "first_start_seconds": {"type": "float", "default": 600},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **survey(module))


if __name__ == "__main__":
    main()

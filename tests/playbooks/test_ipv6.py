"""IPv6 is taken where the host has it, and never from or to a network that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.cases import Cases
from tests.support.local_hosts import HERE, write_program

PLAYBOOK = """
- name: Write what Compose reads
  hosts: order_service
  gather_facts: false
  environment:
    PATH: "{{ programs }}:{{ lookup('ansible.builtin.env', 'PATH') }}"
    NETWORK: "{{ network }}"
  tasks:
    - name: Ask for IPv6
      ansible.builtin.include_role:
        name: release
        tasks_from: ipv6
        public: true
    - name: Write the settings
      ansible.builtin.copy:
        content: "{{ lookup('ansible.builtin.template', template) }}"
        dest: "{{ target }}"
        mode: "0600"
      vars:
        template: "{{ playbook_dir }}/roles/release/templates/dotenv.j2"
"""
PROGRAMS = {
    "docker": '#!/bin/sh\n[ -n "$NETWORK" ] && echo "$NETWORK"',
    "ip": "#!/bin/sh\necho '[]'",
}
# What Docker says of nginx's network, what addresses the host has, and what Compose is told.
CASES = {
    "fresh": ("", "::1 lo", {"BIND_ADDRESS=", "IPV6=true"}),
    "fresh-without": ("", "", {"BIND_ADDRESS=0.0.0.0", "IPV6=false"}),
    "there": ("false", "::1 lo", {"BIND_ADDRESS=0.0.0.0", "IPV6=false"}),
    "there-with": ("true", "", {"BIND_ADDRESS=", "IPV6=true"}),
}


@pytest.fixture(scope="module")
def folder(cases: Cases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one run has written the settings of all cases."""
    folder = tmp_path_factory.mktemp("ipv6")
    for name, script in PROGRAMS.items():
        write_program(folder / name, script)
    hosts: dict[str, dict[str, Any]] = {}
    for case, (network, addresses, _) in CASES.items():
        (folder / f"{case}.addresses").write_text(addresses)
        hosts[case] = HERE | {
            "network": network,
            "programs": str(folder),
            "release_ipv6_addresses": str(folder / f"{case}.addresses"),
            "target": str(folder / case),
            "trusted_proxies": ["10.0.0.0/8", "2001:db8::/32"],
            "proxy_protocol": "true",
        }
    (cases.ansible_folder / "settings.yml").write_text(PLAYBOOK)
    cases.try_playbook("settings.yml", **hosts).succeeded()
    return folder


@pytest.mark.parametrize("case", CASES)
def test_compose_is_told_of_it(folder: Path, case: str) -> None:
    written = set((folder / case).read_text().splitlines())
    assert CASES[case][2] <= written
    assert {"TRUSTED_PROXIES='10.0.0.0/8,2001:db8::/32'", "PROXY_PROTOCOL=on"} <= written

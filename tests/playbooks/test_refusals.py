"""What cannot work is refused before the host is changed, with words that say what to write."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cases import CHECKS, NOWHERE, Cases
from tests.support.control_fixtures import NewCheckout
from tests.support.local_hosts import HERE, write_program
from tests.support.service_process import REPOSITORY

ANSIBLE = REPOSITORY / "deploy" / "ansible"
LIMITS = yaml.safe_load((ANSIBLE / "roles/control/vars/main.yml").read_text())
WRONG: dict[str, Any] = {
    "web_threads": 3,
    "nginx_workers": 17,
    "trusted_proxies": ["10.0.0.0/8", "::/0"],
    "mysql_cpus": 1025,
    "app_memory": "384",
    "mysql_memory": "0m",
    "backup_scratch_memory": "half",
    "api_username": "shop's:admin",
    "api_clients": [{"name": "a shop"}, {"name": "prometheus", "scopes": ["operate"]}],
    "backup_binlog_minutes": 60,
    "backup_daily_at": "noon",
    "backup_drill_on": "2nd of the month",
    "bake_bad_share": 1.5,
    "bake_slow_factor": 0.5,
    "automatic_reboot_time": "4 o'clock",
    "journal_max_size": "lots",
    "metrics_directory": "metrics",
    "node_exporter_address": "9100",
    "image_digest": "sha256:12",
    "image_registry": "registry.example.com/shop/orders:1.0",
    "acme_email": "me",
    "acme_profile": "six days",
    "acme_server": "http://acme.example.com",
    "balancer_address": "orders.example.com",
    "private_address": "fd00::2",
    "container_networks": "192.168.213.0/20",
    "stage": "Staging 1",
    "swap_megabytes": -1,
    "webhook_url": "ftp://shop.example.com",
    "events_url": "shop.example.com/events",
    "traces_url": "collector.example.com:4318",
    "worker_threads": "0",
    "backup_destination": "somewhere",
    "backup_public_key": "id_ed25519.pub",
    "ssh_allowed_sources": ["198.51.100.7/24"],
    "extra_open_ports": [{"port": 70000, "sources": ["everywhere"]}],
    "docker_registry_mirrors": ["mirror.example.com"],
    "order_handler": "a function",
    "processor_retry_delays": "1s,5 seconds",
    "idempotency_key_days": 0,
}
SECRET = "brought along by the operator"
REMEDY = "pip install --require-hashes -r requirements-deploy.txt"
# A host that lets Ansible in: this machine, with stand-ins for what the checks ask.
PROGRAMS = {
    "apt-config": "",
    "apt-get": """echo "'http://no host/debian/dists/trixie/InRelease' packages_InRelease 0" """,
    "dpkg-query": "echo install ok installed",
    "cloud-init": "exec sleep 30",
    "docker": "echo 192.168.208.0/24 shop",
    "id": "echo 0",
    "ip": """echo '[{"dst": "default"}, {"dst": "192.168.220.0/22", "dev": "eth1"}]'""",
    "ss": """echo 'LISTEN 0 5 0.0.0.0:80 0.0.0.0:* users:(("apache2",pid=7,fd=3))'""",
    "systemd-analyze": "echo never heard of it >&2; exit 1",
}
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "types": (
        {
            "web_threads": "many",
            "plain_http": "yes",
            "extra_open_ports": [{"sources": []}],
            "api_password": SECRET,
        },
        [
            "'web_threads' is of type str and we were unable to convert to int",
            "plain_http must be one of: redirect, serve, got: yes",
            "missing required arguments: port found in extra_open_ports",
        ],
    ),
    "misspelled": (
        {"image_regitsry": "registry.example.com/orders"},
        ["sets what does not exist: image_regitsry. Did you mean image_registry?"],
    ),
    "incomplete": (
        {
            "order_handler": "webhook",
            "image_digest": f"sha256:{'0' * 64}",
            "proxy_protocol": True,
        },
        [
            "proxy_protocol is true, and trusted_proxies is missing",
            "order_handler is webhook, and webhook_url is missing",
            "image_digest is set, and image_registry is missing",
        ],
    ),
    "web-subnet": (
        {"container_networks": "10.200.0.0/20", "web_subnet": "10.200.9.0/24"},
        [
            'web_subnet is "10.200.9.0/24", expected an IPv4 network of 256 addresses, such as'
            " 192.168.213.0/24, outside of 10.200.0.1/24 and 10.200.8.0/21"
        ],
    ),
    "second-database": (
        {"independent_hosts": False},
        ["each gets a MySQL of its own", "for hosts that have nothing in common set"],
    ),
    # What is told of them has no value: they may be secrets.
    "alerts": (
        {
            "alert_url": f"https://hooks.example.com/{SECRET}",
            "heartbeat_url": f"https://shop:{SECRET.replace(' ', '-')}@example.com/",
            "alert_headers": {"a key": SECRET, "Authorization": f"{SECRET}\n"},
            "alert_template": {"text": f"$text {SECRET}", "more": [{"key": f"{SECRET} $nobody"}]},
        },
        [
            "alert_url is no address such as https://alerts.example.com/orders",
            "heartbeat_url is no address",
            'alert_headers has "a key", expected a header',
            'alert_headers has "Authorization", expected a header',
            "alert_template has a placeholder that is none of $action, $advice, $alert",
        ],
    ),
    "nobody-to-alert": (
        {"alert_template": {"text": "$text"}},
        ["alert_template is set, and alert_url is missing"],
    ),
    "old-ansible": ({"control_ansible_version": "99.1"}, ["99.1 or later is needed", REMEDY]),
    "collections": (
        {"control_collections": {"shop.none": "1.0", "ansible.posix": "99"}},
        [
            "The collection shop.none is missing",
            "The collection ansible.posix is",
            "99 or later is needed",
            REMEDY,
        ],
    ),
    "no-archive": (
        {"image_archives": ["/nowhere/images.tar"]},
        ["/nowhere/images.tar, which is not a readable file"],
    ),
    "login-by-password": (HERE | {"ansible_password": SECRET}, ["logs in with a password"]),
    "no-root": (
        {"ansible_connection": "local", "ansible_become_exe": "/bin/false"},
        ["cannot become root on no-root", "Allow sudo without a password"],
    ),
    "shut-out": (
        HERE | {"ssh_allowed_sources": ["203.0.113.0/24"]},
        ["ssh_allowed_sources does not hold 192.0.2.7"],
    ),
    "poor": (
        HERE
        | {
            "control_distributions": {},
            "minimum_memory_mb": 10**8,
            "minimum_free_disk_gb": 10**5,
            "ssh_allowed_sources": ["192.0.2.0/24"],
            "app_cpus": 1000.5,
            "web_subnet": "192.0.2.0/24",
            "control_first_start_seconds": 0.2,
        },
        [
            "poor runs ",
            "poor has not ended its first start within 0.2 s",
            "processors, and app_cpus or mysql_cpus is 1000.5: Docker refuses such a limit",
            "would not reach 192.168.220.0/22 (by eth1), 192.0.2.7 (this machine) any more",
            "has networks of Docker where container_networks puts others: 192.168.208.0/24 (shop)",
            "100000000 are needed",
            "minimum_free_disk_gb wants 102400000",
            "cannot look up no host",
            "other programs on the service's ports: 80 (apache2), 443 (apache2)",
            "does not know the time daily, which backup_drill_on sets",
            "never heard of it",
            "Docker from docker.com",
        ],
    ),
}


def of_the_manual(folder: Path) -> dict[str, Any]:
    """Return all settings as inventory.example.yml shows them, with its examples."""
    shown = (ANSIBLE / "inventory.example.yml").read_text().partition("  vars:\n")[2]
    taken = re.sub(r"^    # (?=[a-z][a-z0-9_]*:(?: |$)|  - )", " " * 4, shown, flags=re.MULTILINE)
    settings: dict[str, Any] = yaml.safe_load(taken)
    assert len(settings) > 50
    (folder / "images.tar").touch()
    own = {
        "image_archives": [str(folder / "images.tar")],
        "image_digest": f"sha256:{'0' * 64}",
        "vault_api_password": SECRET,
        "vault_database_password": "secret",
        "vault_database_migrator_url": "mysql+pymysql://me:secret@db.example.com/orders",
        "vault_webhook_secret": SECRET,
        "vault_webhook_secret_previous": SECRET,
        "vault_events_secret": SECRET,
        "vault_events_secret_previous": SECRET,
        "vault_alert_url": "https://alerts.example.com/orders",
        "vault_alert_token": SECRET,
        "vault_heartbeat_url": "https://beats.example.com",
        "ansible_user": "admin",
        # A variable of the user's own, and where the manual puts a password.
        "my_registry": "registry.example.com",
        "vault_image_registry_password": SECRET,
        "image_registry_password": "{{ vault_image_registry_password }}",
    }
    return settings | own


@pytest.fixture(scope="module")
def told(
    cases: Cases, new_checkout: NewCheckout, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What each of the cases was told by one run."""
    uncommitted = new_checkout()
    uncommitted.replace("wsgi.py", "import", "# not committed\nimport")
    programs = tmp_path_factory.mktemp("programs")
    for name, script in PROGRAMS.items():
        write_program(programs / name, f"#!/bin/sh\n{script}\n")
    settings = {name: of_the_case for name, (of_the_case, _) in CASES.items()} | {
        "manual": of_the_manual(tmp_path_factory.mktemp("manual")),
        "no-git": {"control_repository": str(tmp_path_factory.mktemp("no-git"))},
        "uncommitted": {"control_repository": str(uncommitted.folder)},
        "wrong": WRONG,
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PATH", str(programs), prepend=os.pathsep)
        environment.setenv("SSH_CONNECTION", "192.0.2.7 50000 127.0.0.1 22")
        told = cases.run(CHECKS, settings)
    assert SECRET not in cases.runs[-1].output
    return told


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_what_is_expected(told: dict[str, str], case: str) -> None:
    for expected in CASES[case][1]:
        assert expected in told[case]


def test_the_manual_taken_at_its_word_is_accepted(told: dict[str, str]) -> None:
    """As far as the login, and with a user's own variables beside the settings."""
    for expected in (
        f"No login on manual as admin at {NOWHERE}",
        "ansible_ssh_private_key_file",
        "security group",
    ):
        assert expected in told["manual"]


def test_wrong_values_are_all_named_at_once_with_what_is_expected(told: dict[str, str]) -> None:
    assert set(LIMITS["control_patterns"]) <= set(WRONG)
    for name in WRONG:
        assert re.search(rf"{name} (is|has) [^;]*expected", told["wrong"]), name
    assert "has the port 70000, expected one from 1 to 65535" in told["wrong"]


def test_what_no_commit_holds_is_refused(told: dict[str, str]) -> None:
    changed = told["uncommitted"]
    assert "these files differ from the last one: wsgi.py. Commit them" in changed
    assert "Git does not answer" in told["no-git"]
    assert "deploy from a clone" in told["no-git"]


def test_an_inventory_without_the_group_is_refused(
    cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "inventory", lambda _: {"shop": {"hosts": {"one": {}}}})

    run = cases.try_playbook("deploy.yml")

    assert run.returncode != 0
    assert "Could not match supplied host pattern" in run.output


def test_a_start_from_another_folder_is_refused(
    cases: Cases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    playbook = cases.ansible_folder / "deploy.yml"
    monkeypatch.setattr(Cases, "ansible_folder", tmp_path)

    run = cases.try_playbook(str(playbook), one={})

    assert run.returncode != 0
    assert f"expected {playbook.parent}/ansible.cfg" in " ".join(run.output.split())

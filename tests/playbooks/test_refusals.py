"""What cannot work is refused before the host is changed, with words that say what to write."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator

import pytest
import yaml

from tests.support.checkout import Checkout
from tests.support.control_node import ControlNode
from tests.support.remote_host import RemoteHost
from tests.support.service_process import REPOSITORY

ANSIBLE = REPOSITORY / "deploy" / "ansible"
WRONG = {
    "web_threads": 3,
    "api_username": "shop's:admin",
    "backup_binlog_minutes": 60,
    "backup_daily_at": "noon",
    "backup_drill_on": "2nd of the month",
    "bake_bad_share": 1.5,
    "automatic_reboot_time": "4 o'clock",
    "journal_max_size": "lots",
    "image_digest": "sha256:12",
    "backup_destination": "somewhere",
    "ssh_allowed_sources": ["198.51.100.7/24"],
    "extra_open_ports": [{"port": 70000, "sources": ["everywhere"]}],
    "docker_registry_mirrors": ["mirror.example.com"],
    "order_handler": "webhook",
}


CHECK_SECRETS = """
- name: Check the Vault's secrets, which no host is asked for
  hosts: order_service
  gather_facts: false
  tasks:
    - name: Check them
      ansible.builtin.import_role:
        name: secrets
        tasks_from: check
"""


def text(output: str) -> str:
    """Return an output without its line breaks, which fall anywhere."""
    return " ".join(output.split())


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> RemoteHost:
    """A host that is not there: what is refused here, is refused before any host is asked."""
    host = RemoteHost(tmp_path_factory.mktemp("nowhere"))
    host.address = "127.0.9.9"
    host.key.touch(0o600)
    host.known_hosts.touch()
    return host


@pytest.fixture
def node(
    nowhere: RemoteHost,
    new_checkout: Callable[[], Checkout],
    new_control_node: Callable[..., ControlNode],
) -> ControlNode:
    return new_control_node(new_checkout(), nowhere)


def test_manual_has_every_setting_and_no_other() -> None:
    specs = yaml.safe_load((ANSIBLE / "roles/control/meta/argument_specs.yml").read_text())
    manual = (ANSIBLE / "inventory.example.yml").read_text()
    vars_ = manual.partition("  vars:\n")[2]

    described = re.findall(r"^    (?:# )?([a-z][a-z0-9_]*):(?= |$)", vars_, re.MULTILINE)

    assert sorted(described) == sorted(specs["argument_specs"]["main"]["options"])
    example = yaml.safe_load(manual)["order_service"]
    assert [*example["hosts"]] == ["orders-1"]
    assert example["vars"] == {"public_names": []}


def test_manual_taken_at_its_word_is_accepted(node: ControlNode) -> None:
    manual = (ANSIBLE / "inventory.example.yml").read_text().partition("  vars:\n")[2]
    settings = re.sub(
        r"^    # (?=[a-z][a-z0-9_]*:(?: |$)|  - )", " " * 4, manual, flags=re.MULTILINE
    )
    values = yaml.safe_load(settings)
    assert len(values) > 50

    for name in ("image_archives", "image_digest", "api_password", "webhook_secret"):
        del values[name]
    run = node.try_playbook("deploy.yml", **values)

    assert "Stop at values that cannot work" in run.output
    assert "No login on" in run.output, run.output


def test_wrong_values_are_all_named_at_once_with_what_is_expected(node: ControlNode) -> None:
    run = node.try_playbook("deploy.yml", **WRONG)

    assert run.returncode == 2
    said = text(run.output)
    for name in WRONG:
        assert re.search(rf"{name} (is|has) [^;]*(expected|missing)", said), f"{name}\n{said}"
    assert "No login" not in said
    assert "Traceback" not in run.output


def test_wrong_types_and_misspelled_names_are_refused(node: ControlNode) -> None:
    run = node.try_playbook("deploy.yml", web_threads="many", plain_http="yes")
    assert "web_threads" in run.output
    assert "value of plain_http must be one of: redirect, serve" in text(run.output)

    run = node.try_playbook("deploy.yml", "-e", "image_regitsry=registry.example.com/orders")
    assert "image_regitsry. Did you mean image_registry?" in text(run.output)


@pytest.mark.parametrize("playbook", ["restore", "rollback", "backup", "credentials", "status"])
@pytest.mark.parametrize(
    ("misspelled", "meant"),
    [("restore_untill", "restore_until"), ("rotate_overlap_second", "rotate_overlap_seconds")],
)
def test_every_playbook_refuses_misspelled_options(
    node: ControlNode, playbook: str, misspelled: str, meant: str
) -> None:
    """Without its time, a restore would replace live data by an older state than was asked for."""
    run = node.try_playbook(f"{playbook}.yml", "-e", "restore_to=live", "-e", f"{misspelled}=1")

    assert run.returncode != 0
    assert f"{misspelled}. Did you mean {meant}?" in text(run.output)
    assert "UNREACHABLE" not in run.output


@pytest.mark.parametrize("more", [(), ("-vvv",)], ids=["plain", "verbose"])
@pytest.mark.parametrize(
    ("name", "value"), [("api_password", "tOOsHORT"), ("webhook_secret", " with spaces around it ")]
)
def test_a_refused_secret_is_not_shown(
    node: ControlNode, name: str, value: str, more: tuple[str, ...]
) -> None:
    node.checkout.write("deploy/ansible/check_secrets.yml", CHECK_SECRETS)

    run = node.try_playbook("check_secrets.yml", *more, **{name: value})

    assert run.returncode != 0
    assert f"{name} is not allowed" in text(run.output)
    assert value not in run.output


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        ("control_ansible_version=99.1", "99.1 or later is needed"),
        ("control_collections={'shop.none': '1.0'}", "The collection shop.none is missing"),
        ("control_collections={'ansible.posix': '99'}", "99 or later is needed"),
    ],
)
def test_an_old_or_incomplete_ansible_is_refused(node: ControlNode, needed: str, said: str) -> None:
    run = node.try_playbook("deploy.yml", "-e", f"{{{needed.replace('=', ': ')}}}")

    assert said in text(run.output)
    assert "pip install --require-hashes -r requirements-deploy.txt" in text(run.output)


def test_uncommitted_changes_are_refused(node: ControlNode) -> None:
    node.checkout.replace("wsgi.py", "import", "# not committed\nimport")

    run = node.try_playbook("deploy.yml")

    assert "these files differ from the last one: wsgi.py. Commit them" in text(run.output)


def test_a_folder_without_git_is_refused(node: ControlNode) -> None:
    shutil.rmtree(node.checkout.folder / ".git")

    run = node.try_playbook("deploy.yml")

    assert "Git does not answer" in text(run.output)
    assert "deploy from a clone" in text(run.output)


def test_a_host_that_lets_nobody_in_is_named_with_what_to_check(node: ControlNode) -> None:
    run = node.try_playbook("deploy.yml")

    said = text(run.output)
    assert f"No login on {node.hosts[0].name} as admin at 127.0.9.9" in said
    assert "ansible_ssh_private_key_file" in said
    assert "security group" in said


def test_an_inventory_without_the_group_is_refused(
    node: ControlNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "inventory", lambda _: {"shop": {"hosts": {"one": {}}}})

    run = node.try_playbook("deploy.yml")

    assert run.returncode != 0
    assert "Could not match supplied host pattern" in text(run.output)
    assert "order_service" in run.output


@pytest.fixture(scope="module")
def poor_host(new_host: Callable[[], RemoteHost]) -> Iterator[RemoteHost]:
    """A host with a web server of its own, and no names."""
    host = new_host()
    host.sudo("systemd-run --unit=other-web python3 -m http.server 80")
    host.sudo("echo 'nameserver 127.0.0.1' > /etc/resolv.conf")
    yield host
    host.close()


def test_a_host_that_cannot_do_it_is_left_as_it_is(
    poor_host: RemoteHost,
    new_checkout: Callable[[], Checkout],
    new_control_node: Callable[..., ControlNode],
) -> None:
    node = new_control_node(new_checkout(), poor_host)
    before = poor_host.sudo("ls -la --time-style=full-iso /etc /opt | sort")

    run = node.try_playbook("deploy.yml", minimum_memory_mb=10**7, minimum_free_disk_gb=10**5)

    said = text(run.output)
    assert run.recap.changed == 0
    assert "10000000 are needed" in said
    assert "minimum_free_disk_gb wants 102400000" in said
    assert "cannot look up " in said
    assert "other programs on the service's ports: 80 (python3)" in said
    assert poor_host.sudo("ls -la --time-style=full-iso /etc /opt | sort") == before


def test_ssh_sources_that_would_shut_the_control_node_out_are_refused(
    poor_host: RemoteHost,
    new_checkout: Callable[[], Checkout],
    new_control_node: Callable[..., ControlNode],
) -> None:
    node = new_control_node(new_checkout(), poor_host, ssh_allowed_sources=["203.0.113.0/24"])

    run = node.try_playbook("deploy.yml")

    assert "ssh_allowed_sources does not hold 172." in text(run.output)

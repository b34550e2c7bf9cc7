"""A stage has an inventory of its own, with its own settings and its own Vault."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.support.cases import NO_PORT, NOWHERE, Cases

HOSTS = f"""order_service:
  hosts:
    orders-staging-1:
      ansible_host: {NOWHERE}
      ansible_port: {NO_PORT}
      ansible_ssh_extra_args: -F /dev/null -o BatchMode=yes
      ansible_ssh_retries: 0
"""
PASSWORD = "the Vault's password"


@pytest.fixture
def staging(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example, copied as it says, with a host that is not there and a Vault."""
    monkeypatch.setattr(cases, "inventory", lambda _: {"all": {}})
    folder = cases.ansible_folder / "inventories" / "staging"
    shutil.copytree(folder.with_name("example"), folder)
    (folder / "hosts.yml").write_text(HOSTS)
    (folder / "password").write_text(PASSWORD)
    vault = VaultLib([("default", VaultSecret(PASSWORD.encode()))])
    secrets = vault.encrypt("api_username: 'with spaces'\n")
    (folder / "group_vars/order_service/vault.yml").write_bytes(secrets)
    yield folder
    shutil.rmtree(folder)


def status(cases: Cases, staging: Path) -> str:
    """Return what a playbook says that asks the host."""
    run = cases.try_playbook(
        "status.yml",
        f"--inventory={staging}/hosts.yml",
        f"--vault-password-file={staging}/password",
    )
    return " ".join(run.output.split())


def test_a_playbook_says_which_stage_it_is_for_and_has_its_settings(
    cases: Cases, staging: Path
) -> None:
    told = status(cases, staging)
    assert "staging: orders-staging-1" in told
    assert 'api_username is "with spaces", expected' in told


def test_settings_that_would_hold_for_every_stage_are_refused(cases: Cases, staging: Path) -> None:
    everywhere = cases.ansible_folder / "group_vars" / "order_service"
    everywhere.mkdir()
    try:
        told = status(cases, staging)
    finally:
        everywhere.rmdir()
    assert f"{everywhere} wins over the settings of each stage" in told


def test_git_ignores_what_a_user_writes_but_not_the_example(cases: Cases, staging: Path) -> None:
    assert cases.checkout.git("status", "--porcelain", "--", str(staging.parent)) == ""
    (staging.with_name("example") / "hosts.yml").write_text("changed")
    try:
        changed = cases.checkout.git("status", "--porcelain", "--", str(staging.parent))
        assert "inventories/example/hosts.yml" in changed
    finally:
        cases.checkout.git("checkout", "--", str(staging.with_name("example")))

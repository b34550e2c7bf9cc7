"""Dry runs, changed settings and images from a registry."""

from __future__ import annotations

from tests.support.deployment import RELEASE_ONLY, ROOT, Deployment
from tests.support.traffic import Traffic

REGISTRY = "127.0.0.1:5000/shop/orders"
PYTHON = "python:3.13-slim-trixie"


def traffic(deployment: Deployment) -> Traffic:
    return Traffic(deployment.client())


def test_a_dry_run_neither_fails_nor_changes(deployment: Deployment) -> None:
    before = deployment.ledger(), deployment.running()
    deployment.deploy("--check")
    deployment.new_release("Not deployed")
    deployment.deploy("--check", *RELEASE_ONLY)
    assert (deployment.ledger(), deployment.running()) == before


def test_another_network_is_refused(deployment: Deployment) -> None:
    settings = f"cat {ROOT}/stack/.env {ROOT}/upstream/server.conf"
    before = deployment.remote.ssh(settings)
    refused = deployment.try_deploy(*RELEASE_ONLY, web_subnet="192.168.99.0/24")
    assert refused.returncode != 0
    assert "cannot be changed after the first deployment" in " ".join(refused.output.split())
    assert deployment.remote.ssh(settings) == before


def test_a_restart_of_mysql_has_to_be_allowed(deployment: Deployment) -> None:
    started = "inspect", "--format={{.State.StartedAt}}", "order-service-mysql-1"
    before = deployment.remote.docker(*started)
    deployment.node.variables["mysql_memory"] = "600m"
    refused = deployment.try_deploy(*RELEASE_ONLY)
    assert refused.returncode != 0
    assert "would restart mysql" in refused.output
    assert "allow_interruption=true" in refused.output
    assert deployment.remote.docker(*started) == before
    deployment.deploy(*RELEASE_ONLY, allow_interruption=True)
    assert deployment.remote.docker(*started) != before


def test_a_changed_setting_is_rolled_out_like_a_release(deployment: Deployment) -> None:
    """Beside the five newest releases, whatever the host has of older ones is removed."""
    release, former = deployment.readiness()["release"], deployment.colour
    old = [f"old{number}" for number in range(6)]
    for name in old:
        deployment.remote.docker("tag", f"order-service:{release}", f"order-service:{name}")
        deployment.remote.sudo(f"mkdir {ROOT}/releases/{name}")
    deployment.node.variables["web_concurrency"] = 1
    with traffic(deployment) as sent:
        deployment.deploy(*RELEASE_ONLY)
        sent.flows()
    sent.assert_unharmed()
    assert deployment.colour != former
    assert "WEB_CONCURRENCY=1" in deployment.remote.docker("exec", deployment.app, "env")

    ledger = deployment.ledger()
    assert ledger["active"] == release
    kept = {entry["release"] for entry in ledger["releases"]}
    assert not kept & set(old)
    tags = deployment.remote.docker("image", "ls", "--format", "{{.Tag}}", "order-service")
    assert set(tags.split()) == kept
    assert set(deployment.remote.ssh(f"ls {ROOT}/releases").split()) == kept
    entry = ledger["releases"][-1]
    assert "@" in entry["deployed_by"]
    assert entry["image"].startswith("sha256:")


def test_an_image_from_a_registry_is_written_down_by_its_digest(deployment: Deployment) -> None:
    """The registry runs on the host itself, which therefore trusts it without TLS."""
    remote, former = deployment.remote, deployment.readiness()["release"]
    remote.sudo("apt-get install --quiet --yes --no-install-recommends docker-registry")
    # It comes with a login that nobody has.
    remote.sudo("sed -i '/^auth:/,/path:/d' /etc/docker/registry/config.yml")
    remote.sudo("systemctl restart docker-registry")
    release = deployment.new_release("Built elsewhere")
    pushed = f"{REGISTRY}:{release}"
    remote.docker(
        *("build", "--build-arg", f"VERSION={release}", "--build-arg", f"PYTHON_IMAGE={PYTHON}"),
        *("--tag", pushed, f"{ROOT}/releases/{former}"),
    )
    remote.docker("push", pushed)
    remote.docker("image", "rm", pushed)

    deployment.deploy(*RELEASE_ONLY, image_registry=REGISTRY)
    assert deployment.readiness()["release"] == release
    digest = deployment.ledger()["releases"][-1]["digest"]
    assert digest.startswith(f"{REGISTRY}@sha256:")
    assert digest in remote.docker("image", "inspect", f"order-service:{release}")

    again = deployment.deploy(*RELEASE_ONLY, image_registry=REGISTRY)
    assert again.recap.changed == 0
    assert remote.sudo("ls /run/order-service-registry 2>/dev/null || true") == ""

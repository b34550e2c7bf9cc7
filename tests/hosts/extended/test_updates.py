"""Newer images and another Compose on a deployed host: what they restart, and who has to say so."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.support.deployment import MYSQL, NGINX, PROGRAM, RELEASE_ONLY, Deployment
from tests.support.docker import docker
from tests.support.registry import PORT, Registry

COMPOSE = "docker-compose.yml"
PLUGINS = "/usr/local/lib/docker/cli-plugins"
STARTED = "--format={{.State.StartedAt}} {{.Image}}"
# An image that says that it is an older MySQL.
OLDER = r"""FROM mysql:9.7
RUN printf '#!/bin/sh\necho mysqld  Ver 8.4.9 for Linux on x86_64\n' >/usr/local/bin/mysqld \
    && chmod +x /usr/local/bin/mysqld
"""


def started(deployment: Deployment) -> str:
    """Return since when MySQL and nginx run, and from which images."""
    return deployment.remote.docker("inspect", STARTED, MYSQL, NGINX)


def build(deployment: Deployment, tag: str, dockerfile: str) -> None:
    """Build an image on the host; the tag moves to it, as with a pull."""
    command = f"docker build --quiet --tag {tag} -"
    deployment.remote.sudo(f"printf %s {shlex.quote(dockerfile)} | {command}")


def labelled(tag: str, version: str) -> str:
    """Return the Dockerfile of another version of an image, which does the same."""
    return f"FROM {tag}\nLABEL version={version}\n"


def push_newer(deployment: Deployment, tag: str) -> str:
    """Have the registry know another image by the tag, and the host not; return its digest."""
    name = f"{Registry.name}:{PORT}/library/{tag}"
    build(deployment, name, labelled(tag, "newer"))
    said = deployment.remote.docker("push", name)
    deployment.remote.docker("image", "rm", name)
    found = re.search(r"digest: (sha256:[0-9a-f]{64})", said)
    assert found, said
    return found[1]


def pin(deployment: Deployment, tag: str, digest: str) -> None:
    """Name the image by its digest, as a commit."""
    deployment.checkout.replace(COMPOSE, f" {tag}\n", f" {tag}@{digest}\n")
    deployment.new_release(f"Raise {tag}")


def test_another_compose_restarts_nothing(deployment: Deployment, tmp_path: Path) -> None:
    """The plugin of this machine, in front of the distribution's."""
    before = started(deployment)
    former = deployment.remote.docker("compose", "version", "--short")
    plugin = docker("info", "--format={{json .ClientInfo.Plugins}}")
    path = next(one["Path"] for one in json.loads(plugin) if one["Name"] == "compose")
    shutil.copy(path, tmp_path / "docker-compose")
    deployment.remote.sudo(f"mkdir -p {PLUGINS}")
    subprocess.run(
        ["docker", "cp", tmp_path / "docker-compose", f"{deployment.remote.name}:{PLUGINS}/"],
        check=True,
    )
    try:
        assert deployment.remote.docker("compose", "version", "--short") != former
        again = deployment.deploy(*RELEASE_ONLY)
        assert again.recap.changed == 0
        assert started(deployment) == before
    finally:
        deployment.remote.sudo(f"rm {PLUGINS}/docker-compose")


def test_an_image_pulled_by_hand_changes_nothing_by_itself(deployment: Deployment) -> None:
    before = started(deployment)
    for tag, container in (("mysql:9.7", "mysql"), ("nginx:1.30", "nginx")):
        image = deployment.remote.docker("image", "inspect", "--format={{.Id}}", tag).strip()
        build(deployment, tag, labelled(tag, "by-hand"))
        refused = deployment.try_deploy(*RELEASE_ONLY)
        assert refused.returncode != 0
        said = " ".join(refused.output.split())
        assert f"would restart {container} (another image)" in said
        assert started(deployment) == before
        deployment.remote.docker("tag", image, tag)


def test_an_older_mysql_is_refused_even_if_an_interruption_is_allowed(
    deployment: Deployment,
) -> None:
    before = started(deployment)
    image = deployment.remote.docker("image", "inspect", "--format={{.Id}}", "mysql:9.7").strip()
    build(deployment, "mysql:9.7", OLDER)
    refused = deployment.try_deploy(*RELEASE_ONLY, allow_interruption=True)
    assert refused.returncode != 0
    assert "is MySQL 8.4.9, and MySQL 9." in " ".join(refused.output.split())
    assert started(deployment) == before
    deployment.remote.docker("tag", image, "mysql:9.7")


def test_images_are_raised_by_their_digests_after_a_backup(broken: Deployment) -> None:
    """What the registry has for a tag, a commit names, and the host pulls."""
    before = started(broken)
    order = 4_711_001
    body = {"order_id": order, "user_id": 1, "item_ids": [1], "total_amount": 1}
    assert broken.client().post(body).status == 201
    for tag in ("mysql:9.7", "nginx:1.30", "python:3.13-slim-trixie"):
        pin(broken, tag, push_newer(broken, tag))
    refused = broken.try_deploy(*RELEASE_ONLY)
    assert "would restart mysql (another image) and nginx" in " ".join(refused.output.split())
    assert started(broken) == before

    broken.deploy(*RELEASE_ONLY, allow_interruption=True)
    for container in (MYSQL, NGINX):
        form = '--format={{index .Config.Labels "version"}} {{.Config.Image}}'
        version, name = broken.remote.docker("inspect", form, container).split()
        assert version == "newer"
        assert "@sha256:" in name
    # The service's own image is built on what python's digest names.
    release = broken.readiness()["release"]
    inherited = '--format={{index .Config.Labels "version"}}'
    inspected = broken.remote.docker("image", "inspect", inherited, f"order-service:{release}")
    assert inspected.strip() == "newer"
    assert broken.client().get(f"/orders/{order}").status == 200
    listed = broken.remote.sudo(f"{PROGRAM} restore list")
    assert "before-upgrade" in listed.splitlines()[-1]
    drill = json.loads(broken.remote.sudo("cat /var/backups/order-service/last-drill.json"))
    assert drill["outcome"] == "ok"
    assert broken.deploy(*RELEASE_ONLY).recap.changed == 0

"""The images of MySQL and nginx: pulled in time, and another one is never a surprise."""

from __future__ import annotations

import pytest
from order_service.host import CommandError

from tests.support.stack_host import ALLOWED, BACKED_UP, COMPOSE, DRY_RUN, NOTHING, StackHost


def test_an_image_that_is_missing_is_pulled_before_anything_stops(host: StackHost) -> None:
    host.write(COMPOSE, "nginx: image nginx:1.30@sha256:new")
    host.refused(r"nginx \(another image\)")
    assert host.docker.did == ["pull nginx:1.30@sha256:new"]
    host.deploy("new", ALLOWED)
    # What nothing runs from any more would fill the disk.
    assert host.docker.did[1:] == ["up --force-recreate nginx", "remove the image sha256:nginx"]


def test_a_dry_run_pulls_nothing(host: StackHost) -> None:
    host.write(COMPOSE, "mysql: image mysql:9.7@sha256:new")
    said = "would pull mysql:9.7@sha256:new, and restart what runs from another image"
    assert host.run("plan", DRY_RUN) == said
    assert host.docker.did == []


def test_an_image_that_cannot_be_pulled_changes_nothing(host: StackHost) -> None:
    name = "mysql:9.7@sha256:new"
    host.write(COMPOSE, f"mysql: image {name}")
    host.docker.failing[f"pull {name}"] = "manifest unknown"
    with pytest.raises(CommandError, match=rf"{name} is not on this host: .*manifest unknown"):
        host.run("plan", ALLOWED)


def test_the_same_image_by_its_digest_restarts_nothing(host: StackHost) -> None:
    name = "mysql:9.7@sha256:of-today"
    host.write(COMPOSE, f"mysql: image {name}")
    host.docker.pulled[name] = host.docker.pulled["mysql:9.7"]
    assert host.run("plan") == NOTHING


@pytest.mark.parametrize("name", ["mysql", "nginx"])
def test_an_image_pulled_by_hand_changes_nothing_by_itself(host: StackHost, name: str) -> None:
    """Compose would start such a container anew, and MySQL upgrade its data."""
    tag = {"mysql": "mysql:9.7", "nginx": "nginx:1.30"}[name]
    host.docker.pulled[tag] = "sha256:pulled"
    host.docker.versions["sha256:pulled"] = "9.7.5"
    host.refused(rf"{name} \(another image\)")
    assert (host.docker.did, host.backups) == ([], [])
    host.deploy("new", ALLOWED)
    assert f"up --force-recreate {name}" in host.docker.did
    assert host.backups == (BACKED_UP if name == "mysql" else [])
    host.docker.did.clear()
    host.deploy()
    assert host.docker.did == []


def test_an_older_mysql_is_refused(host: StackHost) -> None:
    host.write(COMPOSE, "mysql: image mysql:8.4")
    host.docker.pulled["mysql:8.4"] = "sha256:older"
    host.docker.versions["sha256:older"] = "8.4.10"
    refusal = r"mysql:8\.4 is MySQL 8\.4\.10, and MySQL 9\.7\.4 has written the data"
    with pytest.raises(CommandError, match=refusal):
        host.run("plan", ALLOWED)

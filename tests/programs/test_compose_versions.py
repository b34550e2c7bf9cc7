"""Containers that one version of Compose started are the same to another one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from order_service.release import changes, images
from order_service.release.changes import Labels
from order_service.release.colours import Colour
from order_service.release.project import Project, base

from tests.support.fake_host import relocate
from tests.support.service_process import REPOSITORY

pytestmark = pytest.mark.engine
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
# The Docker client's settings, with the Compose that hosts have, and with the newest.
HOSTS, NEWEST = str(CACHE / "order-service-lab" / "compose"), os.environ.get("DOCKER_CONFIG", "")
FILES = ("docker-compose.yml", "deploy/host/base.yml", "deploy/host/colour.yml")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of a host with the release `one`."""
    if not Path(HOSTS).is_dir():
        pytest.skip("the Compose that hosts have is not here: run `make lab`")
    relocate(monkeypatch, tmp_path)
    monkeypatch.setattr(images, "identify", lambda name: f"the id of {name}")
    for file in FILES:
        (tmp_path / "releases/one" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / file, tmp_path / "releases/one" / file)
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack/.env").write_text("IMAGE=order-service\n")
    return tmp_path / "stack/.env"


def use(monkeypatch: pytest.MonkeyPatch, configuration: str) -> None:
    """Have Docker use that Compose."""
    if configuration:
        monkeypatch.setenv("DOCKER_CONFIG", configuration)
    else:
        monkeypatch.delenv("DOCKER_CONFIG", raising=False)


def labels(project: Project, *services: str) -> Labels:
    """Return the labels that this Compose gives the services' containers."""
    hashes = dict(line.split() for line in project.compose("config", "--hash", "*").splitlines())
    described = project.services()
    return {
        name: {
            "com.docker.compose.config-hash": hashes[name],
            "com.docker.compose.image": f"the id of {described[name]['image']}",
        }
        for name in services
    }


@pytest.mark.parametrize(("first", "then"), [(HOSTS, NEWEST), (NEWEST, HOSTS)])
def test_another_compose_is_no_change_and_another_setting_is(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    release = tmp_path / "releases/one"
    stack, colour = base(release, "one"), Colour("blue").described("one")
    use(monkeypatch, first)
    had = {"mysql": labels(stack, "mysql", "nginx"), "blue": labels(colour, "app")}
    for name, project in (("mysql", stack), ("blue", colour)):
        changes.remember(name, project)
    use(monkeypatch, then)
    # What Compose says itself.
    assert labels(stack, "mysql", "nginx") != had["mysql"]
    # The bytes differ, so both are rendered.
    settings.write_text(settings.read_text() + "# a comment\n")
    assert changes.find("mysql", stack, had["mysql"]) == {}
    assert changes.find("blue", colour, had["blue"]) == {}

    settings.write_text("IMAGE=order-service\nMYSQL_MEMORY=600m\nWEB_CONCURRENCY=3\n")
    assert changes.find("mysql", stack, had["mysql"]).keys() == {"mysql"}
    assert changes.find("blue", colour, had["blue"]).keys() == {"app"}

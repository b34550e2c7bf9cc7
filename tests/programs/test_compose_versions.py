"""Containers that one version of Compose started are the same to another one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from order_service.release import changes, images
from order_service.release.changes import Labels
from order_service.release.colours import Colour
from order_service.release.project import Project, base

from tests.support.relocation import relocate
from tests.support.service_process import REPOSITORY

pytestmark = pytest.mark.engine
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
# The Docker client's settings, with the Compose that hosts have, and with the newest.
HOSTS, NEWEST = str(CACHE / "order-service-lab" / "compose"), os.environ.get("DOCKER_CONFIG", "")
FILES = (
    "docker-compose.yml",
    *(f"deploy/host/{name}.yml" for name in ("base", "colour", "shared", "database")),
)


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


@pytest.mark.parametrize("compose", [HOSTS, NEWEST])
def test_a_database_of_several_hosts_changes_what_uses_it_and_nothing_else(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compose: str
) -> None:
    """A host that others join goes on with its nginx, and what uses MySQL reaches other hosts."""
    use(monkeypatch, compose)
    release = tmp_path / "releases/one"
    settings.write_text("COMPOSE_PROFILES=worker\n")
    alone, place = base(release, "one").services(), Colour("blue").described("one").services()
    changes.remember("nginx", base(release, "one"))
    running = labels(base(release, "one"), "mysql", "nginx")
    several = ("COMPOSE_PROFILES=worker", "PRIVATE_ADDRESS=10.0.0.3", "DATABASE_SERVERS=10.0.0.3")
    settings.write_text("\n".join([*several, "PARTS=web,worker,database", ""]))
    stack = base(release, "one")
    assert changes.find("nginx", stack, running).keys() == {"mysql"}
    shared, colour = stack.services(), Colour("blue").described("one").services()
    assert shared["nginx"] == alone["nginx"]
    assert "networks" not in shared["mysql"]
    networks = {name: set(colour[name]["networks"]) for name in ("app", "worker")}
    assert networks == {"app": {"web"}, "worker": {"outside"}}
    assert set(shared["migrate"]["networks"]) == {"outside"}
    for name in ("app", "worker"):
        before, after = (
            {**one[name], "networks": 0, "described_networks": 0} for one in (place, colour)
        )
        assert before == after
    # Compose 2.26 wants all external networks to be there, whoever is in them.
    rendered = json.loads(Colour("blue").described("one").compose("config", "--format", "json"))
    external = [name for name, network in rendered["networks"].items() if network.get("external")]
    assert external == ["web"]

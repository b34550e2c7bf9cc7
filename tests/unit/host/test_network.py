"""nginx's network is made once, and left to itself afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from order_service.release import network

from tests.support.fake_docker import FakeDocker
from tests.support.service_process import REPOSITORY

SETTINGS = "WEB_SUBNET=10.1.5.0/24\nWEB_DYNAMIC_RANGE=10.1.5.128/25\n"
IPV4 = ["--subnet", "10.1.5.0/24", "--ip-range", "10.1.5.128/25"]


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ("IPV6=false\n", IPV4),
        ("IPV6=true\n", [*IPV4, "--ipv6", "--subnet", "fd6f:7264:6572::/64"]),
    ],
)
def test_it_is_made_as_the_settings_say(
    root: Path, docker: FakeDocker, setting: str, options: list[str]
) -> None:
    (root / "stack").mkdir()
    (root / "stack" / ".env").write_text(SETTINGS + setting)
    docker.networks.clear()
    network.make()
    assert docker.networks == {network.NAME: options}
    (root / "stack" / ".env").write_text("")
    network.make()
    assert docker.networks == {network.NAME: options}


@pytest.mark.parametrize("file", ["base", "colour"])
def test_compose_does_not_own_it(file: str) -> None:
    """Or another description would have Compose stop nginx, and then fail for the colours."""
    text = (REPOSITORY / "deploy" / "host" / f"{file}.yml").read_text()
    described = yaml.safe_load(text.replace("!override", "").replace("!reset", ""))
    assert described["networks"]["web"] == {"external": True, "name": network.NAME}

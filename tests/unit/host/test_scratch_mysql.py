"""What a scratch server is, where nothing of the live one is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service.backup.settings import Settings
from order_service.restore import scratch_mysql

from tests.support.fake_docker import FakeDocker


@pytest.fixture
def _up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_mysql, "_wait_until_up", lambda: None)


@pytest.mark.usefixtures("_up")
def test_it_runs_from_the_image_that_the_stack_names(root: Path, docker: FakeDocker) -> None:
    for name in ("docker-compose.yml", "deploy/host/base.yml", ".env"):
        (root / "stack" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "stack" / name).write_text("mysql: image mysql:9.7@sha256:pinned\n")
    with scratch_mysql.scratch(Settings(root)):
        (started,) = [command for command in docker.ran if command.startswith("docker run")]
    assert " mysql:9.7@sha256:pinned --skip-log-bin " in started


@pytest.mark.usefixtures("_up")
def test_it_runs_from_the_image_of_the_live_one(root: Path, docker: FakeDocker) -> None:
    docker.add("mysql", image="sha256:in-use")
    with scratch_mysql.scratch(Settings(root)):
        (started,) = [command for command in docker.ran if command.startswith("docker run")]
    assert " sha256:in-use --skip-log-bin " in started

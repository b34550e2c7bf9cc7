"""Which containers process orders, by the profiles that Compose is told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.service_process import REPOSITORY

DEFAULT = "the service's own default"


@pytest.mark.parametrize(
    ("profiles", "threads", "expected"),
    [
        ("", "", DEFAULT),
        ("monitoring", "", DEFAULT),
        ("workers", "", DEFAULT),
        ("worker", "", "0"),
        ("worker,monitoring", "", "0"),
        ("monitoring,worker", "", "0"),
        ("monitoring", "3", "3"),
        ("worker", "3", "3"),
        ("monitoring,worker", "3", "3"),
    ],
)
def test_the_web_processes_no_orders_where_workers_do(
    tmp_path: Path, profiles: str, threads: str, expected: str
) -> None:
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
    app = compose["services"]["app"]
    assert app["environment"]["COMPOSE_PROFILES"] == "${COMPOSE_PROFILES:-}"
    assert app["environment"]["PROCESSOR_THREADS"] == "${PROCESSOR_THREADS:-}"
    server = tmp_path / "gunicorn"
    server.write_text(f'#!/bin/sh\necho "${{PROCESSOR_THREADS:-{DEFAULT}}}: $*"\n')
    server.chmod(0o755)
    environment = {"COMPOSE_PROFILES": profiles, "PROCESSOR_THREADS": threads}
    run = subprocess.run(
        [part.replace("$$", "$") for part in app["command"]],
        capture_output=True,
        check=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"} | environment,
        text=True,
    )
    assert run.stdout.startswith(f"{expected}: --config service/server/gunicorn.conf.py")

"""What the service's image is built on, whoever builds it."""

from __future__ import annotations

import re

import yaml

from tests.support.service_process import REPOSITORY


def test_a_plain_build_takes_the_tag_that_compose_names() -> None:
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    named = compose["x-images"]["python"].partition("@")[0]
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE) == [named]

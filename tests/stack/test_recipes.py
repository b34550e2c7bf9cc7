"""The recipes: the image, the Compose file, and nginx's configuration as it is rendered."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.docker import docker
from tests.support.service_process import BIN, REPOSITORY
from tests.support.stack import Stack

NGINX = ("nginx", "-c", "/etc/nginx/service/nginx.conf")
SETTINGS_OF_NGINX = {
    "PLAIN_HTTP": "redirect",
    "HTTPS_PORT": "443",
    "LIMIT_REQUESTS_PER_SECOND": "1000",
    "LIMIT_CONNECTIONS": "1000",
    "LIMIT_FAILED_LOGINS": "60",
}
# HSTS comes with a certificate that browsers trust, from a file that is made at the start.
GIXY_SKIPS = "hsts_header"


def test_the_compose_file(stack: Stack) -> None:
    run = stack.try_compose("--profile", "worker", "config", "--quiet")
    assert (run.returncode, run.stderr) == (0, "")


def test_every_setting_is_in_the_example_and_every_example_is_a_setting() -> None:
    compose = (REPOSITORY / "docker-compose.yml").read_text()
    example = (REPOSITORY / ".env.example").read_text()
    used = set(re.findall(r"\$\{([A-Z_]+)", compose))
    assert used == set(re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE))


def test_gixy_finds_nothing_in_nginxs_configuration(stack: Stack, tmp_path: Path) -> None:
    rendered = tmp_path / "nginx.conf"
    rendered.write_text(stack.compose("exec", "-T", "nginx", *NGINX, "-T"))
    assert "/etc/nginx/conf.d/https.conf" in rendered.read_text()
    gixy = (BIN / "gixy", "--skips", GIXY_SKIPS, rendered)
    run = subprocess.run(gixy, capture_output=True, check=False, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def check_settings(**settings: str) -> subprocess.CompletedProcess[str]:
    """Run what nginx's container runs before nginx."""
    return subprocess.run(
        ["sh", REPOSITORY / "deploy" / "nginx" / "check-settings.sh"],
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"]} | SETTINGS_OF_NGINX | settings,
        text=True,
    )


def test_valid_settings_are_accepted() -> None:
    assert check_settings().returncode == 0
    assert check_settings(PLAIN_HTTP="serve").returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLAIN_HTTP", "maybe"),
        ("HTTPS_PORT", "https"),
        ("LIMIT_REQUESTS_PER_SECOND", "0"),
        ("LIMIT_CONNECTIONS", "many"),
        ("LIMIT_FAILED_LOGINS", "-1"),
    ],
)
def test_invalid_settings_are_named(name: str, value: str) -> None:
    run = check_settings(**{name: value})
    assert run.returncode == 1
    assert f"nginx: {name}: '{value}' is not allowed; expected" in run.stderr


def test_nginx_does_not_start_with_an_invalid_setting(stack: Stack) -> None:
    run = stack.run("-e", "PLAIN_HTTP=maybe", "nginx", *NGINX, "-t")
    assert run.returncode == 1
    assert "PLAIN_HTTP: 'maybe' is not allowed" in run.stderr


def test_the_image_says_what_it_is_and_has_only_what_it_needs(stack: Stack) -> None:
    image = stack.inspect("app")["Image"]
    labels = json.loads(docker("image", "inspect", image))[0]["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == stack.project
    assert labels["org.opencontainers.image.revision"] == "unknown"
    needless = "gcc cc make /app/tests /app/.git /root/.cache/pip /build"
    script = f"for one in {needless}; do command -v $one || ls -d $one 2>/dev/null; done; true"
    assert stack.compose("exec", "-T", "app", "sh", "-c", script) == ""

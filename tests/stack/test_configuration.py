"""The recipes and the rendered configurations, judged by the tools made for them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.service_process import BIN, REPOSITORY
from tests.support.stack import Stack, docker

SCANNERS = BIN.parent / "scan" / "bin"
# HSTS comes with a certificate that browsers trust, from a file that is made at the start.
GIXY_SKIPS = "hsts_header"
NGINX = ("nginx", "nginx", "-c", "/etc/nginx/service/nginx.conf")
LARGEST_IMAGE = 90 * 1024**2


def passes(*command: str | Path, cwd: Path = REPOSITORY) -> None:
    run = subprocess.run(command, capture_output=True, check=False, cwd=cwd, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


def nginx(stack: Stack, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Render the configuration with these settings and run nginx on it, in place of serving."""
    given = [part for name, value in settings.items() for part in ("-e", f"{name}={value}")]
    return stack.try_compose("run", "--rm", "--no-deps", "-T", *given, *NGINX, *command)


def test_the_dockerfile() -> None:
    passes(BIN / "hadolint", "Dockerfile")
    quiet = ("--quiet", "--compact", "--skip-download")
    passes(SCANNERS / "checkov", *quiet, "--framework", "dockerfile", "--file", "Dockerfile")


def test_the_compose_file(stack: Stack) -> None:
    for profile in ([], ["--profile", "worker"]):
        run = stack.try_compose(*profile, "config", "--quiet")
        assert (run.returncode, run.stderr) == (0, "")


def test_every_setting_is_in_the_example_and_every_example_is_a_setting() -> None:
    compose = (REPOSITORY / "docker-compose.yml").read_text()
    example = (REPOSITORY / ".env.example").read_text()
    used = set(re.findall(r"\$\{([A-Z_]+)", compose))
    assert used == set(re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE))


@pytest.mark.parametrize("plain_http", ["redirect", "serve"])
def test_nginx(stack: Stack, tmp_path: Path, plain_http: str) -> None:
    assert nginx(stack, "-t", PLAIN_HTTP=plain_http).returncode == 0
    rendered = tmp_path / "nginx.conf"
    rendered.write_text(nginx(stack, "-T", PLAIN_HTTP=plain_http).stdout)
    assert "/etc/nginx/conf.d/https.conf" in rendered.read_text()
    assert f"parts/plain-http-{plain_http}.conf" in rendered.read_text()
    passes(BIN / "gixy", "--skips", GIXY_SKIPS, str(rendered))


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
def test_invalid_settings_are_named(stack: Stack, name: str, value: str) -> None:
    run = nginx(stack, "-t", **{name: value})
    assert run.returncode != 0
    assert f"nginx: {name}: '{value}' is not allowed; expected" in run.stderr + run.stdout


def test_the_image_is_small_and_has_only_what_it_needs(stack: Stack) -> None:
    image = stack.inspect(stack.containers("app")[0])["Image"]
    described = json.loads(docker("image", "inspect", image, "python:3.13-slim-trixie"))
    sizes = [one["Size"] for one in described]
    assert sizes[0] - sizes[1] <= LARGEST_IMAGE
    labels = described[0]["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == stack.project
    assert labels["org.opencontainers.image.revision"] == "unknown"
    for name in ("gcc", "cc", "make", "/app/tests", "/app/.git", "/root/.cache/pip", "/build"):
        assert stack.shell("app", f"command -v {name} || ls -d {name}").returncode != 0
    fast = stack.shell("app", "python -c 'import gunicorn_h1c'")
    assert fast.returncode == 0, fast.stderr

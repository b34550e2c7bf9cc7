"""The recipes: the image, the Compose file, and nginx's configuration as it is rendered."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
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
    "TRUSTED_PROXIES": "",
    "PROXY_PROTOCOL": "off",
    "NGINX_WORKERS": "2",
}
CheckSettings = Callable[..., subprocess.CompletedProcess[str]]
# HSTS comes with a certificate that browsers trust, from a file that is made at the start.
GIXY_SKIPS = "hsts_header"


def test_the_compose_file(stack: Stack) -> None:
    run = stack.try_compose("--profile", "worker", "config", "--quiet")
    assert (run.returncode, run.stderr) == (0, "")


def test_every_setting_is_in_the_example_and_every_example_is_a_setting() -> None:
    compose = (REPOSITORY / "docker-compose.yml").read_text()
    example = (REPOSITORY / ".env.example").read_text()
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", compose))
    assert used == set(re.findall(r"^#([A-Z0-9_]+)=", example, re.MULTILINE))


def test_gixy_finds_nothing_in_nginxs_configuration(stack: Stack, tmp_path: Path) -> None:
    rendered = tmp_path / "nginx.conf"
    rendered.write_text(stack.compose("exec", "-T", "nginx", *NGINX, "-T"))
    assert "/etc/nginx/conf.d/https.conf" in rendered.read_text()
    gixy = (BIN / "gixy", "--skips", GIXY_SKIPS, rendered)
    run = subprocess.run(gixy, capture_output=True, check=False, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture
def check_settings(tmp_path: Path) -> CheckSettings:
    """Run what nginx's container runs before nginx; what it writes is in `tmp_path`."""
    return lambda **settings: subprocess.run(
        ["sh", REPOSITORY / "deploy" / "nginx" / "check-settings.sh"],
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "NGINX_ENVSUBST_OUTPUT_DIR": str(tmp_path)}
        | SETTINGS_OF_NGINX
        | settings,
        text=True,
    )


def test_valid_settings_are_accepted(check_settings: CheckSettings) -> None:
    assert check_settings().returncode == 0
    assert check_settings(PLAIN_HTTP="serve").returncode == 0
    assert check_settings(TRUSTED_PROXIES="2001:db8::/32", PROXY_PROTOCOL="on").returncode == 0


def test_the_number_of_connections_is_that_of_all_workers(
    check_settings: CheckSettings, tmp_path: Path
) -> None:
    for workers in (1, 2, 16):
        assert check_settings(NGINX_WORKERS=str(workers)).returncode == 0
        assert (tmp_path / "workers").read_text() == f"worker_processes {workers};\n"
        connections = f"worker_connections {4096 // workers};\n"
        assert (tmp_path / "connections").read_text() == connections


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLAIN_HTTP", "maybe"),
        ("HTTPS_PORT", "https"),
        ("LIMIT_REQUESTS_PER_SECOND", "0"),
        ("LIMIT_CONNECTIONS", "many"),
        ("LIMIT_FAILED_LOGINS", "-1"),
        ("NGINX_WORKERS", "auto"),
        ("NGINX_WORKERS", "17"),
        ("PROXY_PROTOCOL", "yes"),
        ("TRUSTED_PROXIES", "10.0.0.0/8 balancer.example.com"),
        ("TRUSTED_PROXIES", "10.0.0.256"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("TRUSTED_PROXIES", "::/0"),
        ("TRUSTED_PROXIES", "2001:db8::/129"),
        ("TRUSTED_PROXIES", "*"),
    ],
)
def test_invalid_settings_are_named(check_settings: CheckSettings, name: str, value: str) -> None:
    run = check_settings(**{name: value})
    assert run.returncode == 1
    assert re.fullmatch(
        rf"nginx: {name}: '{re.escape(value)}' is not allowed; expected .*\n", run.stderr
    )


def test_the_proxy_protocol_without_a_proxy_is_refused(check_settings: CheckSettings) -> None:
    run = check_settings(PROXY_PROTOCOL="on")
    assert run.returncode == 1
    assert "nginx: TRUSTED_PROXIES: '' is not allowed; expected who speaks the PROXY" in run.stderr


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

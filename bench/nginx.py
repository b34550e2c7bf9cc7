"""nginx with the stack's configuration, before the service; only its addresses are others."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Self

from bench.database import SERVICE_BIN
from bench.servers import START_SECONDS, answers
from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.service_process import REPOSITORY

IMAGE = "nginx:1.30"
CONFIGURATION = REPOSITORY / "deploy" / "nginx"
NGINX_USER = 101
# More than any load here, and nginx's most: the limits are not what is measured.
UNLIMITED = "65535"


class NginxError(Exception):
    """nginx cannot be started; says why."""


class Nginx:
    """A container on the host's own loopback: HTTPS to the service, and a constant answer."""

    def __init__(self, directory: Path, service_port: int) -> None:
        self.name = f"orders-bench-nginx-{secrets.token_hex(4)}"
        self._directory = directory / "nginx"
        self._https, self._http, self._constant = free_port(), free_port(), free_port()
        self._service_port = service_port

    @property
    def url(self) -> str:
        """The service, through nginx and TLS."""
        return f"https://{HOST}:{self._https}"

    @property
    def ca(self) -> Path:
        """The certificate of the authority behind it."""
        return self._directory / "certificates" / "ca.crt"

    @property
    def constant_url(self) -> str:
        """What nginx answers with a constant."""
        return f"http://{HOST}:{self._constant}"

    def __enter__(self) -> Self:
        try:
            self._prepare()
            self._start()
            wait_until(self._serves, START_SECONDS, "nginx's answer")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _serves(self) -> bool:
        state = _docker("inspect", "--format={{.State.Running}}", self.name).stdout.strip()
        if state != "true":
            raise NginxError(f"nginx ended:\n{_docker('logs', self.name).stderr[-3000:]}")
        return answers(f"{self.url}/ping", self.ca)

    def _prepare(self) -> None:
        shutil.copytree(CONFIGURATION, self._directory / "configuration")
        self._replace("upstream/server.conf", "app:5000 resolve", f"{HOST}:{self._service_port}")
        self._replace("parts/health.conf", "127.0.0.1:8081", f"{HOST}:{self._constant}")
        self._replace("check-settings.sh", "listen_on 8080", f"listen_on {HOST}:{self._http}")
        self._replace("check-settings.sh", "listen_on 8443", f"listen_on {HOST}:{self._https}")
        self._replace("check-settings.sh", "/proc/net/if_inet6", "/no/such/file")
        for name in ("authority", "certificates"):
            (self._directory / name).mkdir()
        # Its user, or its group where files cannot be given away.
        reader = NGINX_USER if os.geteuid() == 0 else os.getgid()
        subprocess.run(
            [SERVICE_BIN / "python", "-m", "order_service.certificates.bring"],
            check=True,
            capture_output=True,
            cwd=REPOSITORY / "deploy" / "host",
            env={"VOLUMES": str(self._directory), "NGINX_ID": str(reader)},
            timeout=60,
        )

    def _replace(self, file: str, old: str, new: str) -> None:
        path = self._directory / "configuration" / file
        text = path.read_text()
        if text.count(old) != 1:
            raise NginxError(f"deploy/nginx/{file} has not {old!r} once; bench/nginx.py expects it")
        path.write_text(text.replace(old, new))

    def _start(self) -> None:
        mounts = {
            "certificates": "/etc/nginx/certificates",
            "configuration": "/etc/nginx/service",
            "configuration/upstream": "/etc/nginx/upstream",
            "configuration/check-settings.sh": "/docker-entrypoint.d/15-check-settings.sh",
        }
        settings = {
            "HTTPS_PORT": "443",
            "PLAIN_HTTP": "redirect",
            "LIMIT_REQUESTS_PER_SECOND": UNLIMITED,
            "LIMIT_CONNECTIONS": UNLIMITED,
            "LIMIT_FAILED_LOGINS": UNLIMITED,
            "TRUSTED_PROXIES": "",
            "PROXY_PROTOCOL": "off",
            "NGINX_WORKERS": "2",
            "NGINX_ENVSUBST_TEMPLATE_DIR": "/etc/nginx/service/templates",
        }
        subprocess.run(
            [
                *("docker", "run", "--detach", f"--name={self.name}", "--network=host", "--init"),
                # The group that may read the key is this process's own.
                *(f"--user={NGINX_USER}:{os.getgid()}", "--tmpfs=/tmp:mode=1777"),
                f"--tmpfs=/etc/nginx/conf.d:mode=755,uid={NGINX_USER},size=1m",
                *(f"--volume={self._directory / a}:{b}:ro" for a, b in mounts.items()),
                *(f"--env={name}={value}" for name, value in settings.items()),
                *(IMAGE, "nginx", "-c", "/etc/nginx/service/nginx.conf", "-g", "daemon off;"),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def _remove(self) -> None:
        _docker("rm", "--force", "--volumes", self.name)


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *arguments], check=False, capture_output=True, text=True, timeout=60
    )

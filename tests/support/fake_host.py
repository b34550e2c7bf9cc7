"""A deployed host for the host's programs, in this process: folders of its own, no Docker, and real
HTTP servers on loopback in the place of nginx and of the releases."""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from order_service.certificates import authority
from order_service.dotenv import DATABASE, WEB, WORKER, dotenv
from order_service.release import colours, smoke
from order_service.release import ledger as ledgers
from order_service.secrets import secret_files

from tests.support.answering_server import SECONDS, Answers, Asked, new_server
from tests.support.fake_docker import FakeDocker

# The requests of an order that is stored already, and of figures in Prometheus' format.
POST_AGAIN, FIGURES = "POST /orders again", "GET /metrics as text"
# What is asked, by whom ("nginx" or "direct"), of which release -> a status, or None for the usual.
Behaviour = Callable[[str, str, str], int | None]
# Runs a program with a command line.
Program = Callable[..., None]


def misbehaving(request: str, status: int, *, by: str = "") -> Behaviour:
    """Have the release `bad` answer a request wrongly; to nginx alone, if that is said."""
    return lambda release, asker, asked: (
        status if (release, asked) == ("bad", request) and by in ("", asker) else None
    )


class FakeHost:
    """A host with two colours and nginx before them; `old` serves, in blue."""

    def __init__(
        self, root: Path, docker: FakeDocker, certificate: tuple[bytes, bytes] | None = None
    ) -> None:
        self.root, self.docker = root, docker
        self.behaviour: Behaviour = lambda *_: None
        # By what name a release's service answers, where it is not its own.
        self.answers_as: dict[str, str] = {}
        # The API's password that a release was started with, where it is not the present one.
        self.known_passwords: dict[str, str] = {}
        # What a release, or `the worker of` one, counts about itself: see `page`.
        self.figures: Callable[[str], str] = lambda _: ""
        # What GET /processing answers.
        self.processing: dict[str, Any] = {}
        # The newest order, if there is one, and what was stored by a POST.
        self.newest: dict[str, Any] | None = {
            "order_id": 7,
            "user_id": 8,
            "item_ids": [9],
            "total_amount": 10.25,
            "status": "Completed",
        }
        self.stored: list[bytes] = []
        self.upstream = self.configuration = ""
        docker.reload = self.reload
        for name in ("old", "new", "bad"):
            self.add_release(name)
        subnet = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.addresses = {"blue": f"{subnet}.10", "green": f"{subnet}.11"}
        docker.addresses = {"blue-worker": f"{subnet}.20", "green-worker": f"{subnet}.21"}
        self._write("stack/.env", f"WEB_SUBNET={subnet}.0/24\nAUTH_USERNAME='admin'\n")
        self._write("stack/deploy/nginx/nginx.conf", "of old\n")
        for file in ("docker-compose.yml", "deploy/host/base.yml"):
            self._write(f"stack/{file}", "")
        for name, secret in docker.secrets.items():
            self.add_secret(name, secret)
        docker.add("blue-app", release="old")
        docker.add("nginx")
        docker.add("mysql")
        leaf, key = certificate or authority.make().issue(["orders.example"])
        self._write("certificates/tls.crt", leaf.decode())
        self._write("certificates/tls.key", key.decode())
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served = ledgers.activate(ledgers.read(), "old", "sha256:old", None, "me@here", back=False)
        ledgers.write(served)

    @property
    def is_proxied(self) -> bool:
        """Whether nginx is behind a balancer that speaks the PROXY protocol."""
        return dotenv().get("PROXY_PROTOCOL") == "on"

    def become(self, *parts: str, **settings: str) -> None:
        """Be there for that alone, among several hosts; `old` serves in blue, if anything does."""
        settings = {"PARTS": ",".join(parts), "DATABASE_SERVERS": "10.0.0.3:3306"} | settings
        with (self.root / "stack/.env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())
        kept = {WEB: ("nginx", "blue-app"), WORKER: ("blue-worker",), DATABASE: ("mysql",)}
        self.docker.containers.clear()
        for name in (name for part in parts for name in kept[part]):
            self.docker.add(
                name,
                release="old" if name.startswith("blue") else "",
                address=self.docker.addresses.get(name, ""),
            )
        self.docker.services = ["app", "worker"] if WORKER in parts else ["app"]

    def add_release(self, name: str) -> None:
        """Have a release's files and image."""
        self._write(f"releases/{name}/deploy/nginx/nginx.conf", f"of {name}\n")
        for file in ("docker-compose.yml", "deploy/host/base.yml", "deploy/host/colour.yml"):
            self._write(f"releases/{name}/{file}", "")
        self.docker.images[f"order-service:{name}"] = f"sha256:{name}"

    def add_secret(self, name: str, text: str, age: timedelta = timedelta(hours=1)) -> None:
        """Have one of the service's secrets, so old."""
        path = self._write(f"volumes/{secret_files.VOLUME}/{name}", text)
        then = (datetime.now(UTC) - age).timestamp()
        os.utime(path, (then, then))

    def _write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    @contextmanager
    def serving(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Have the servers answer."""
        servers = [new_server((self.addresses["blue"], 0), self._colour("blue"))]
        self.port = servers[0].server_address[1]
        monkeypatch.setattr(colours, "PORT", self.port)
        monkeypatch.setattr(colours, "WORKER_PORT", self.port)
        servers.append(new_server((self.addresses["green"], self.port), self._colour("green")))
        for colour in self.addresses:
            worker = self.docker.addresses[f"{colour}-worker"]
            servers.append(new_server((worker, self.port), self._worker(colour)))
        servers.append(new_server(("127.0.0.1", 0), self._nginx, self._secured))
        self.https_port = self.docker.https_port = servers[-1].server_address[1]
        self.limits()
        self._write("upstream/server.conf", colours.upstream_for(colours.Colour("blue")))
        self.reload()
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield
        finally:
            for server in servers:
                server.shutdown()
                server.server_close()

    def limits(self, **changed: float) -> None:
        """Write down what a rollout waits for."""
        given = {"https_port": self.https_port, "public_name": "orders.example"} | changed
        self._write("settings/rollout.json", json.dumps(given))

    @property
    def runs(self) -> dict[str, str]:
        """The release that runs in each colour."""
        found = self.docker.containers.values()
        return {one.project.rpartition("-")[2]: one.release for one in found if one.release}

    def serves(self) -> tuple[str, str]:
        """Return the release that clients get, and the one whose configuration nginx has."""
        password = self.docker.secrets["auth_password"]
        given = ("127.0.0.1", self.https_port, "admin", password, "orders.example")
        _, answer = smoke.Client(*given, self.is_proxied).ask("GET", "/readyz")
        return answer["release"], self.configuration.strip().removeprefix("of ")

    def assert_old_serves(self) -> None:
        """Check that it is as it was: `old` serves, in blue, and nothing runs beside it."""
        assert self.serves() == ("old", "old")
        assert self.runs == {"blue": "old"}
        assert ledgers.read()["active"] == "old"

    def reload(self) -> None:
        """Do what nginx does: go on with what is in place now."""
        self.upstream = (self.root / "upstream" / "server.conf").read_text()
        self.configuration = (self.root / "stack/deploy/nginx/nginx.conf").read_text()
        folder = self.root / "certificates"
        self._tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")

    def log(self, status: int, upstream: str, when: datetime | None = None) -> None:
        """Add a line to nginx's access log."""
        self.docker.log(json.dumps({"status": str(status), "upstream": upstream}), when)

    def _nginx(self, asked: Asked) -> tuple[int, object] | None:
        if asked.path != "/ping" and (self.root / "upstream" / "maintenance.json").exists():
            self.log(503, "-")
            return 503, {"error": "closed"}
        address, _, port = self.upstream.split()[1].partition(":")
        connection = http.client.HTTPConnection(address, int(port), timeout=SECONDS)
        headers = {"X-Forwarded-For": "nginx"}
        headers |= {name: asked.headers[name] for name in ("Accept", "Authorization")}
        body: object
        try:
            connection.request(asked.method, asked.path, asked.body, headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read().decode()
            body = text if asked.wants_text else json.loads(text)
        except (OSError, http.client.HTTPException):
            status, body = 502, {"error": "Bad gateway"}
        finally:
            connection.close()
        self.log(status, f"{address}:{port}")
        return status, body

    def _secured(self, connection: socket.socket) -> socket.socket:
        """Speak TLS, once the balancer has said who the client is."""
        connection.settimeout(SECONDS)
        if self.is_proxied:
            said = connection.recv(len(smoke.PROXY_LINE), socket.MSG_WAITALL)
            if said != smoke.PROXY_LINE:
                raise ConnectionAbortedError(said)
        return self._tls.wrap_socket(connection, server_side=True)

    def _colour(self, name: str) -> Answers:
        def answers(asked: Asked) -> tuple[int, object] | None:
            release = self.runs.get(name)
            if release is None:
                return None
            by = "nginx" if asked.headers["X-Forwarded-For"] else "direct"
            request = self._named(asked)
            status = self.behaviour(release, by, request) or self._usual(asked, request, release)
            if request == "GET /orders?limit=1":
                return status, {"orders": [self.newest] if self.newest else []}
            if request == FIGURES:
                return status, self.figures(release)
            if request == "GET /processing":
                return status, self.processing
            return status, {"release": self.answers_as.get(release, release)}

        return answers

    def _worker(self, colour: str) -> Answers:
        def answers(asked: Asked) -> tuple[int, object] | None:
            container = self.docker.containers.get(f"order-service-{colour}-worker-1")
            if container is None:
                return None
            release, request = container.release, self._named(asked)
            if request == FIGURES:
                return 200, self.figures(f"the worker of {release}")
            status = self.behaviour(release, "worker", request)
            return status or (200 if request == "GET /readyz" else 404), {"release": release}

        return answers

    def _named(self, asked: Asked) -> str:
        """Return what is asked for, in the words of a `Behaviour`."""
        if asked.wants_text:
            return FIGURES
        if asked.body not in (b"", b"{}"):
            order_id = json.loads(asked.body)["order_id"]
            if self.newest and order_id == self.newest["order_id"]:
                return POST_AGAIN
            self.stored.append(asked.body)
        return f"{asked.method} {asked.path}"

    def _usual(self, asked: Asked, request: str, release: str) -> int:
        """Return the status that the API promises."""
        if request in ("GET /ping", "GET /readyz"):
            return 200
        password = self.known_passwords.get(release, self.docker.secrets["auth_password"])
        credentials = f"admin:{password}".encode()
        if asked.headers["Authorization"] != f"Basic {base64.b64encode(credentials).decode()}":
            return 401
        known = {"GET /metrics": 200, FIGURES: 200, "GET /orders?limit=1": 200}
        known["GET /processing"] = 200
        return (known | {"POST /orders": 400, POST_AGAIN: 409}).get(request, 404)

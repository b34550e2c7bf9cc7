"""A service that a real Prometheus watches: two web processes, a worker, a host's node exporter.

Prometheus has the configuration that ships, but for its times, its targets' addresses and its
password.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from order_service.status import figures

from service.app import create_app
from service.storage.models import db
from tests.support import commands
from tests.support.databases import order_body, settings_for
from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.prometheus import CONFIGURATION, Prometheus, program, running_prometheus
from tests.support.service_process import Client, Server, Worker

SECONDS = 30.0
# Its discovery hands targets on each five seconds.
FOUND_SECONDS = 40.0
FINE, REFUSED = 1, 2
HANDLER = f"""
from service.processing.handlers import OrderRejected

def handle(task):
    if task.user_id == {REFUSED}:
        raise OrderRejected("out of stock")
"""


@dataclass
class Shop:
    """The service, who asks it for its figures, and what was posted."""

    database: Path
    server: Server
    worker: Worker
    worker_client: Client
    prometheus: Prometheus
    ids: Iterator[int]
    fine: int = 0
    refused: int = 0

    def post(self, user: int = FINE) -> None:
        """Post an order that ends well, or is refused by its handler."""
        answer = self.server.client.post(order_body(next(self.ids), user_id=user))
        assert answer.status == 201
        self.fine += user == FINE
        self.refused += user == REFUSED

    def reads(self, expression: str, expected: dict[str, float], what: str) -> None:
        """Wait until Prometheus has these values."""
        found: dict[str, float] = {}

        def is_so() -> bool:
            found.clear()
            found.update(self.prometheus.query(expression))
            return found == expected

        try:
            wait_until(is_so, SECONDS, what, every=0.3)
        except AssertionError:
            raise AssertionError(f"{what}: {expression} is {found}") from None


@contextmanager
def node_exporter(folder: Path) -> Iterator[int]:
    """Have the figures of a host told, as its own program writes them."""
    now = time.time()
    page = figures.page(
        [
            figures.Figure("backup_last_success_timestamp_seconds", "When.", now - 3600),
            figures.Figure("certificate_not_after_timestamp_seconds", "When.", now + 86400),
            figures.Figure("disk_free_bytes", "Free.", 50, {"path": "/"}),
            figures.Figure("disk_size_bytes", "Size.", 100, {"path": "/"}),
        ]
    )
    (folder / figures.FILE).write_text(page)
    port = free_port()
    process = subprocess.Popen(
        [
            program("prometheus-node-exporter"),
            f"--web.listen-address={HOST}:{port}",
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={folder}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield port
    process.kill()
    process.wait(SECONDS)


def configure(folder: Path, password: str, web: int, worker: int, host: int) -> None:
    """Write the configuration that ships, for these ports, and in a hurry."""
    configuration: dict[str, Any] = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text())
    hurry = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    configuration["global"] |= hurry
    service, of_host = configuration["scrape_configs"]
    (folder / "password").write_text(password)
    service["basic_auth"]["password_file"] = f"{folder}/password"
    service["static_configs"] = [
        # What the discovery by DNS tells of a target.
        {"targets": [f"{HOST}:{port}"], "labels": {"__meta_dns_name": name}}
        for name, port in (("app", web), ("worker", worker))
    ]
    del service["dns_sd_configs"]
    (folder / "hosts").mkdir()
    (folder / "hosts" / "own.yml").write_text(yaml.dump([{"targets": [f"{HOST}:{host}"]}]))
    (folder / "prometheus.yml").write_text(yaml.dump(configuration))
    assert of_host["file_sd_configs"]
    (folder / "rules").mkdir()
    for file in (CONFIGURATION / "rules").glob("*.yml"):
        rules = yaml.safe_load(file.read_text())
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            if "for" in rule:
                rule["for"] = "2s"
        (folder / "rules" / file.name).write_text(yaml.dump(rules))


def make_client(url: str) -> str:
    """Let Prometheus read the figures, and nothing else; return its password."""
    app = create_app(settings_for(url))
    with app.app_context():
        made = commands.run(app, "clients", "create", "prometheus", "--scope", "metrics:read")
        db.engine.dispose()
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


@contextmanager
def watched_shop(folder: Path, template: Path) -> Iterator[Shop]:
    """Give a service with two web processes and a worker, and a Prometheus that has found it.

    `template` is a migrated SQLite database.
    """
    for name in ("server", "worker", "prometheus", "figures"):
        (folder / name).mkdir()
    database = folder / "orders.db"
    database.write_bytes(template.read_bytes())
    url = f"sqlite:///{database}"
    (folder / "shop.py").write_text(HANDLER)
    port = free_port()
    # The worker processes, and the web does not.
    settings = {"PYTHONPATH": folder, "ORDER_HANDLER": "shop:handle"}
    password = make_client(url)
    with ExitStack() as stack:
        server = stack.enter_context(
            Server(folder / "server", url, WEB_CONCURRENCY=2, PROCESSOR_THREADS=0, **settings)
        )
        server.start()
        worker = stack.enter_context(
            Worker(folder / "worker", url, METRICS_PORT=port, PROCESSOR_THREADS=4, **settings)
        )
        worker.start()
        host = stack.enter_context(node_exporter(folder / "figures"))
        configure(folder / "prometheus", password, server.port, port, host)
        prometheus = stack.enter_context(running_prometheus(folder / "prometheus"))
        made = Shop(database, server, worker, Client(port), prometheus, count(1))
        targets = {f"{HOST}:{one}" for one in (server.port, port, host)}
        wait_until(lambda: up(prometheus) == targets, FOUND_SECONDS, "three targets", every=0.3)
        yield made


def up(prometheus: Prometheus) -> set[str]:
    """Return the targets that answer."""
    active = prometheus.ask("targets")["activeTargets"]
    return {one["labels"]["instance"] for one in active if one["health"] == "up"}

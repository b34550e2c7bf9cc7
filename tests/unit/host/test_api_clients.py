"""The API's clients on a host: the programs, the stack's own maker of secrets, and the service's
commands on a database."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import make_secrets
import pytest
from flask import Flask
from order_service.host import CommandError
from order_service.secrets import api_clients, credentials

from service.app import create_app
from service.clients import Clients
from service.runtime import runtime
from tests.support.commands import json_from, run
from tests.support.databases import settings_for
from tests.support.fake_docker import FakeDocker
from tests.support.fake_engine import Complaint
from tests.support.fake_host import FakeHost, Program

SHOP = {"name": "shop", "scopes": ["orders:write", "orders:read"]}
TILL = {"name": "till", "scopes": ["operate"]}


class ClientsHost:
    """A host, and the service's database."""

    def __init__(self, on: FakeHost, app: Flask, program: Program) -> None:
        self._on, self.app, self._program = on, app, program
        self.secrets = on.docker.volumes / api_clients.VOLUME
        on.docker.make_secrets = self._make_secrets
        on.docker.flask = self._flask
        self._make_secrets([], {})

    def _make_secrets(self, arguments: list[str], _env: dict[str, str]) -> str:
        return self._said(make_secrets.main, *arguments)

    def _flask(self, command: list[str]) -> str:
        # The container sees the volume in another place.
        there = [part.replace(api_clients.MOUNTED, str(self.secrets)) for part in command]
        result = run(self.app, *there)
        if result.exit_code:
            raise Complaint(result.stderr)
        return result.stdout

    def _said(self, main: Callable[[], None], *arguments: str) -> str:
        with redirect_stdout(io.StringIO()) as told:
            self._program(main, *arguments)
        return told.getvalue()

    def deploy(self, *listed: dict[str, Any]) -> str:
        """Make the clients what the inventory says; return what was changed."""
        (self._on.root / "settings" / "clients.json").write_text(json.dumps(listed))
        return ", ".join(sorted(api_clients.apply("old")))

    def rotate(self, *arguments: str) -> str:
        """Change a secret; return what is said."""
        return self._said(credentials.main, "rotate", "client", *arguments)

    def secret(self, name: str) -> str:
        """Return the secret that the operator is shown."""
        return (self.secrets / f"client_{name}").read_text()

    def scopes(self, name: str, secret: str) -> set[str] | None:
        """Return the scopes that the service gives, after a look into its database."""
        known = Clients(runtime(self.app).database, runtime(self.app).settings)
        found = known.find(name, secret, "")
        return {scope.value for scope in found.scopes} if found else None

    def acts(self) -> list[str]:
        """Return what was done in the service, oldest first."""
        entries = json_from(self.app, "audit", "list")
        return [f"{one['action']} {one['subject']}" for one in reversed(entries)]


@pytest.fixture
def host(
    on: FakeHost,
    docker: FakeDocker,
    program: Program,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> ClientsHost:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    for module in ("files", "database_secrets"):
        monkeypatch.setattr(f"{module}.MYSQL_ID", os.getgid())
    for name in ("mysql", "migrate", "service"):
        (docker.volumes / f"order-service_{name}-secrets").mkdir(exist_ok=True)
    return ClientsHost(on, create_app(settings_for(sqlite_url)), program)


def test_those_of_the_inventory_are_made_and_prometheus(host: ClientsHost) -> None:
    told = host.deploy(SHOP, TILL)
    assert told == "client_shop, client_till, prometheus, shop, till"
    assert host.scopes("shop", host.secret("shop")) == {"orders:write", "orders:read"}
    assert host.scopes("till", host.secret("till")) == {"operate"}
    assert host.scopes("prometheus", host.secret("prometheus")) == {"metrics:read"}
    assert host.deploy(SHOP, TILL) == ""
    assert len(host.acts()) == 3


def test_scopes_follow_the_inventory_and_who_is_taken_out_goes_on(host: ClientsHost) -> None:
    host.deploy(SHOP, TILL)
    secret = host.secret("shop")
    assert host.deploy(SHOP | {"scopes": ["orders:read"]}) == "shop"
    assert host.secret("shop") == secret
    assert host.scopes("shop", secret) == {"orders:read"}
    assert host.scopes("till", host.secret("till")) == {"operate"}


def test_one_is_revoked_when_its_entry_says_so(host: ClientsHost) -> None:
    host.deploy(SHOP, TILL)
    secret = host.secret("till")
    gone = ({"name": "till", "revoked": True}, {"name": "never-there", "revoked": True})
    assert host.deploy(SHOP, *gone) == "till"
    assert host.scopes("till", secret) is None
    assert not (host.secrets / "client_till").exists()
    assert host.deploy(SHOP, *gone) == ""
    # Its name is not given again.
    with pytest.raises(CommandError, match="revoked clients do not come back: till; in api"):
        host.deploy(SHOP, TILL)


def test_a_secret_that_the_database_has_lost_is_told_to_it(host: ClientsHost) -> None:
    """As after a restore of an older backup."""
    host.deploy(SHOP)
    run(host.app, "clients", "rotate", "shop")
    assert host.scopes("shop", host.secret("shop")) is None
    assert host.deploy(SHOP) == "shop"
    assert host.scopes("shop", host.secret("shop")) is not None


def test_a_rotation_overlaps_and_shows_no_secret(host: ClientsHost, docker: FakeDocker) -> None:
    host.deploy(SHOP)
    former = host.secret("shop")
    told = host.rotate("--client", "shop")
    new = host.secret("shop")
    assert told.splitlines()[-1] == "CHANGED: client_shop"
    assert new != former
    assert host.scopes("shop", new) == host.scopes("shop", former) is not None
    assert host.acts()[-1] == "client.rotate shop"
    host.rotate("--client", "shop", "--overlap", "0")
    assert host.scopes("shop", new) is None
    secrets = {former, new, host.secret("shop")}
    assert not any(secret in told + " ".join(docker.ran) for secret in secrets)


@pytest.mark.parametrize("overlap", ["99999", "100000", "2592000"])
def test_an_overlap_may_take_a_month(host: ClientsHost, overlap: str) -> None:
    host.deploy()
    former = host.secret("prometheus")
    host.rotate("--client", "prometheus", "--overlap", overlap)
    assert host.scopes("prometheus", former) == {"metrics:read"}


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_rotation_that_is_cut_off_is_ended_by_the_next(
    host: ClientsHost, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    host.deploy(SHOP)
    former = host.secret("shop")

    def cut_off(command: list[str]) -> str:
        if step == "after":
            run(host.app, *[p.replace(api_clients.MOUNTED, str(host.secrets)) for p in command])
        raise OSError("cut off")

    with monkeypatch.context() as patched:
        patched.setattr(docker, "flask", cut_off)
        with pytest.raises(SystemExit, match="FAILED: cut off"):
            host.rotate("--client", "shop")
    assert host.scopes("shop", former) is not None
    host.rotate("--client", "shop")
    assert host.secret("shop") != former
    for secret in (former, host.secret("shop")):
        assert host.scopes("shop", secret) is not None
    assert not list(Path(host.secrets).glob("next_*"))


@pytest.mark.parametrize("name", ["nobody", "", "gone"])
def test_a_client_that_is_not_there_is_refused(host: ClientsHost, name: str) -> None:
    host.deploy(SHOP, {"name": "gone", "revoked": True})
    with pytest.raises(SystemExit, match=r"no client .*expected one of prometheus, shop"):
        host.rotate("--client", name)


def test_prometheus_stays_revoked(host: ClientsHost) -> None:
    host.deploy()
    run(host.app, "clients", "revoke", "prometheus")
    host.deploy(SHOP)
    assert host.scopes("shop", host.secret("shop")) is not None
    assert host.scopes("prometheus", host.secret("prometheus")) is None


def test_what_the_service_refuses_is_told(host: ClientsHost) -> None:
    (host.secrets / "client_shop").write_text("too short")
    with pytest.raises(CommandError, match="client_shop' holds no secret; expected 32"):
        host.deploy(SHOP)

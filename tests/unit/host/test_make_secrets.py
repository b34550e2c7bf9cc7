"""The stack's secrets: made once, changed when asked, and whole wherever a change was cut off."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.secret_volumes import Volumes


def test_they_are_made_once(volumes: Volumes) -> None:
    volumes.assert_consistent()
    before = volumes.passwords(), volumes.read("service/auth_password")
    assert min(map(len, before[0].values())) >= 32
    assert len(set(before[0].values())) == 4
    assert volumes.make() == set()
    assert (volumes.passwords(), volumes.read("service/auth_password")) == before
    assert len(volumes.read("grafana/grafana_password")) >= 32


def test_nobody_else_may_read_them(volumes: Volumes) -> None:
    files = [path for path in volumes.folder.rglob("*") if path.is_file()]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert modes == ({0o400} if os.geteuid() == 0 else {0o400, 0o440})
    (volumes.folder / "service" / "auth_password").chmod(0o644)
    assert volumes.make() == {"auth_password"}


def test_the_api_passwords_former_one_is_accepted_until_it_is_retired(volumes: Volumes) -> None:
    old = volumes.read("service/auth_password")
    assert volumes.make("--change-api") == {"auth_password", "auth_password_previous"}
    new = volumes.read("service/auth_password")
    assert new != old
    assert volumes.read("service/auth_password_previous") == old
    # A third one would leave clients with the first one behind.
    assert volumes.make("--change-api") == set()
    assert volumes.read("service/auth_password") == new
    assert volumes.make("--retire-api") == {"auth_password_previous"}
    assert volumes.read("service/auth_password_previous") == ""
    assert volumes.make() == set()


def test_the_users_own_password_replaces_it_with_an_overlap_where_that_is_asked(
    volumes: Volumes,
) -> None:
    made = volumes.read("service/auth_password")
    (volumes.own / "auth_password").write_text("of their own\n")
    volumes.make("--overlap")
    assert volumes.read("service/auth_password") == "of their own"
    assert volumes.read("service/auth_password_previous") == made
    (volumes.own / "auth_password").write_text("another\n")
    volumes.make()
    assert volumes.read("service/auth_password") == "another"
    assert volumes.read("service/auth_password_previous") == made


@pytest.mark.parametrize("name", ["webhook_secret", "events_secret"])
def test_the_users_own_signing_secrets_are_taken_and_the_former_one_ends_with_its_file(
    volumes: Volumes, name: str
) -> None:
    made, former = f"service/{name}", f"service/{name}_previous"
    assert len(volumes.read(made)) >= 32
    assert volumes.read("service/webhook_secret") != volumes.read("service/events_secret")
    assert volumes.read(former) == ""
    (volumes.own / name).write_text("the new one\n")
    (volumes.own / f"{name}_previous").write_text("the one before\n")
    assert volumes.make() == {name, f"{name}_previous"}
    assert volumes.read(made) == "the new one"
    assert volumes.read(former) == "the one before"
    for path in volumes.own.iterdir():
        path.unlink()
    # Whoever changes a password need not bring them.
    for change in ("--change-api", "--retire-api", "--prepare-database", "--commit-database"):
        volumes.make(change)
    assert volumes.read(former) == "the one before"
    assert volumes.make() == {f"{name}_previous"}
    assert volumes.read(former) == ""
    assert volumes.read(made) == "the new one"


def test_prometheus_and_the_migrations_have_the_same_secret(volumes: Volumes) -> None:
    secret = volumes.read("migrate/client_prometheus")
    assert len(secret) >= 32
    assert volumes.read("monitoring/prometheus_password") == secret
    volumes.make("--prepare-client=prometheus")
    following = volumes.read("migrate/next_client_prometheus")
    assert volumes.read("monitoring/prometheus_password") == secret != following
    changed = volumes.make("--commit-client=prometheus")
    assert changed == {"client_prometheus", "prometheus_password"}
    assert volumes.read("migrate/client_prometheus") == following
    assert volumes.read("monitoring/prometheus_password") == following


def test_a_clients_secret_is_made_changed_in_two_steps_and_forgotten(volumes: Volumes) -> None:
    (volumes.own / "webhook_secret_previous").write_text("the one before\n")
    volumes.make()
    both = ("--client=shop", "--client=till.2")
    assert volumes.make(*both) == {"client_shop", "client_till.2"}
    assert volumes.make(*both) == set()
    secret = volumes.read("migrate/client_shop")
    assert len({secret, volumes.read("migrate/client_till.2")}) == 2
    for _ in range(2):  # as after a crash
        volumes.make("--prepare-client=shop")
        following = volumes.read("migrate/next_client_shop")
    assert volumes.read("migrate/client_shop") == secret != following
    for _ in range(2):
        volumes.make("--commit-client=shop")
        assert volumes.read("migrate/client_shop") == following
    volumes.make("--forget-client=shop")
    left = {path.name for path in (volumes.folder / "migrate").iterdir()}
    assert left == {"database_url", "client_prometheus", "client_till.2"}
    # Nobody brought the webhook's former secret along meanwhile.
    assert volumes.read("service/webhook_secret_previous") == "the one before"


@pytest.mark.parametrize("name", ["", "../service/auth_password", ".hidden", "a b", "x" * 64])
def test_a_client_whose_name_is_no_files_is_refused(volumes: Volumes, name: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        volumes.make(f"--client={name}")
    assert "is no client's name; expected 1 to 63" in refused.value.stderr


def test_the_development_password_is_never_a_former_one(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path)
    volumes.make(address="127.0.0.1")
    assert volumes.read("service/auth_password") == "securepassword"
    assert volumes.read("service/app_env") == "development"
    volumes.make()
    assert volumes.read("service/app_env") == "production"
    assert volumes.read("service/auth_password") != "securepassword"
    assert volumes.read("service/auth_password_previous") == ""


def test_the_development_password_makes_no_public_service_a_development_one(
    volumes: Volumes,
) -> None:
    (volumes.own / "auth_password").write_text("securepassword")
    volumes.make()
    assert volumes.read("service/app_env") == "production"


def test_a_made_password_stays_when_the_service_is_private_again(volumes: Volumes) -> None:
    made = volumes.read("service/auth_password")
    volumes.make(address="127.0.0.1")
    assert volumes.read("service/auth_password") == made
    assert volumes.read("service/app_env") == "production"


def test_all_addresses_are_public(volumes: Volumes) -> None:
    volumes.make(address="")
    assert volumes.read("service/app_env") == "production"
    assert volumes.read("service/auth_password") != "securepassword"


def test_an_address_that_is_none_is_refused(volumes: Volumes) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        volumes.make(address="here")
    assert "BIND_ADDRESS: 'here' is not allowed; expected" in refused.value.stderr


def test_a_host_that_has_a_head_makes_nothing_that_it_was_not_handed(
    volumes: Volumes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Volumes(tmp_path_factory.mktemp("other"))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        other.make(HEAD="orders-1")
    assert "this host makes none, and orders-1 has handed none on" in refused.value.stderr
    handed = {"service": _texts(volumes.folder / "service", "*")}
    (other.own / "handed").write_text(json.dumps(handed))
    assert other.make(HEAD="orders-1") == set(handed["service"])
    assert _texts(other.folder / "service", "*") == handed["service"]
    for name in ("mysql", "migrate", "monitoring", "grafana"):
        assert list((other.folder / name).iterdir()) == []
    # It keeps what it has.
    (other.own / "handed").write_text("{}")
    assert other.make("--overlap", HEAD="orders-1") == set()

    # A database host has all forms of the accounts' passwords.
    handed["mysql"] = _texts(volumes.folder / "mysql", "*_password")
    handed["migrate"] = _texts(volumes.folder / "migrate", "*")
    (other.own / "handed").write_text(json.dumps(handed))
    other.make(HEAD="orders-1")
    assert other.passwords() == volumes.passwords()
    other.assert_consistent()


def test_a_host_that_had_a_mysql_of_its_own_takes_the_heads_url(
    volumes: Volumes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Volumes(tmp_path_factory.mktemp("other"))
    other.make()
    handed = {"service": _texts(volumes.folder / "service", "*")}
    (other.own / "handed").write_text(json.dumps(handed))
    for _ in range(2):
        other.make(HEAD="orders-1")
        assert _texts(other.folder / "service", "*") == handed["service"]


def _texts(folder: Path, pattern: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob(pattern)}

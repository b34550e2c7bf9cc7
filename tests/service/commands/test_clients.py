"""`flask clients …`: a secret is shown once, or given; names, rotations and revocations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import simplejson
from flask import Flask

from service.app import create_app
from service.runtime import runtime
from tests.support.clients import credentials, end_overlap
from tests.support.commands import assert_fails, assert_wrong_usage, json_from, run, table_from
from tests.support.databases import ONLY_SQLITE, settings_for
from tests.support.inspection import Store
from tests.support.ports import free_port

CREATE = ("clients", "create")
SHOP = (*CREATE, "shop", "--scope", "orders:read")
GIVEN = "0123456789abcdef0123456789abcdef"


def status(app: Flask, name: str, secret: str) -> int:
    """Return what a client is told that may read orders, as every process tells it in the end."""
    runtime(app).clients.refresh()
    return app.test_client().get("/orders", headers=credentials(name, secret)).status_code


def acts(app: Flask) -> list[tuple[str, str, str | None]]:
    """Return what was done, oldest first."""
    entries = json_from(app, "audit", "list")
    return [(one["action"], one["subject"], one["detail"]) for one in reversed(entries)]


def made(app: Flask, *arguments: str) -> str:
    """Return the secret that a command prints, alone in one line."""
    result = run(app, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    secret = result.stdout.removesuffix("\n")
    assert len(secret) >= 43
    assert set(secret).isdisjoint(" \n:")
    return secret


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{GIVEN}\n")
    return path


def test_a_client_calls_with_the_secret_that_was_printed_once(app: Flask) -> None:
    secret = made(app, *SHOP, "--scope", "orders:write")
    assert status(app, "shop", secret) == 200
    for other in (secret[:-1], secret + "x", secret.swapcase(), ""):
        assert status(app, "shop", other) == 401
    assert status(app, "Shop", secret) == 401
    [listed] = json_from(app, "clients", "list")
    assert (listed["name"], listed["scopes"]) == ("shop", ["orders:write", "orders:read"])
    assert secret not in simplejson.dumps([*json_from(app, "audit", "list"), listed])
    assert made(app, *CREATE, "other", "--scope", "operate") != secret


def test_the_table_has_no_secret(app: Flask, store: Store) -> None:
    secret = made(app, *SHOP)
    row = store.run(lambda its: its.exec_driver_sql("SELECT * FROM clients").one())
    assert secret not in repr(row)
    assert len(row.secret_hash) == 32


def test_for_programs(app: Flask) -> None:
    created = json_from(app, *SHOP)
    secret = created.pop("secret")
    assert created.pop("changed") is True
    assert created["created_at"] == created["changed_at"]
    assert created == {
        "name": "shop",
        "scopes": ["orders:read"],
        "created_at": created["created_at"],
        "changed_at": created["created_at"],
        "former_secret_until": None,
        "revoked_at": None,
    }
    assert json_from(app, "clients", "list") == [created]
    assert status(app, "shop", secret) == 200
    rotated = json_from(app, "clients", "rotate", "shop")
    assert status(app, "shop", rotated["secret"]) == 200
    revoked = json_from(app, "clients", "revoke", "shop")
    assert revoked["revoked_at"] is not None
    assert "secret" not in revoked
    assert [told["changed"] for told in (rotated, revoked)] == [True, True]
    assert json_from(app, "clients", "revoke", "shop")["changed"] is False


def test_the_list_is_a_table_by_name(app: Flask) -> None:
    made(app, *CREATE, "zoo", "--scope", "operate", "--scope", "metrics:read")
    made(app, *SHOP)
    header, shop, zoo = table_from(app, "clients", "list")
    assert " ".join(header) == ("name scopes created_at changed_at former_secret_until revoked_at")
    assert (shop[:2], shop[-2:]) == (["shop", "orders:read"], ["-", "-"])
    assert zoo[:3] == ["zoo", "metrics:read", "operate"]


def test_a_rotation_with_an_overlap(app: Flask, store: Store) -> None:
    first = made(app, *SHOP)
    second = made(app, "clients", "rotate", "shop", "--overlap", "1h")
    assert (status(app, "shop", first), status(app, "shop", second)) == (200, 200)
    assert json_from(app, "clients", "list")[0]["former_secret_until"] is not None
    end_overlap(store, "shop")
    assert (status(app, "shop", first), status(app, "shop", second)) == (401, 200)
    third = made(app, "clients", "rotate", "shop")
    found = [status(app, "shop", secret) for secret in (first, second, third)]
    assert found == [401, 401, 200]


def test_a_second_rotation_ends_the_first_ones_overlap(app: Flask) -> None:
    secrets = [made(app, *SHOP)]
    secrets += [made(app, "clients", "rotate", "shop", "--overlap", "1h") for _ in range(2)]
    assert [status(app, "shop", secret) for secret in secrets] == [401, 200, 200]


def test_a_revoked_client_is_refused_and_its_name_is_gone(app: Flask) -> None:
    first = made(app, *SHOP)
    second = made(app, "clients", "rotate", "shop", "--overlap", "1h")
    result = run(app, "clients", "revoke", "shop")
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
    assert [status(app, "shop", secret) for secret in (first, second)] == [401, 401]
    for again in (SHOP, (*SHOP, "--update"), ("clients", "rotate", "shop")):
        assert_fails(run(app, *again), "'shop'", "revoked", "another name")
    # Once more does no harm.
    revoked_at = json_from(app, "clients", "list")[0]["revoked_at"]
    assert json_from(app, "clients", "revoke", "shop")["revoked_at"] == revoked_at
    done = [act for act, _, _ in acts(app)]
    assert done == ["client.create", "client.rotate", "client.revoke"]


def test_a_name_is_given_once(app: Flask) -> None:
    secret = made(app, *SHOP)
    assert_fails(run(app, *SHOP), "'shop' already", "orders:read", "--update", "rotate")
    assert status(app, "shop", secret) == 200
    assert len(acts(app)) == 1


def test_a_secret_that_is_given_is_printed_nowhere_and_may_be_given_again(
    app: Flask, secret_file: Path
) -> None:
    command = (*SHOP, "--secret-file", str(secret_file))
    first = run(app, *command)
    listed = json_from(app, "clients", "list")
    again = run(app, *command)
    for result in (first, again):
        assert (result.exit_code, result.output) == (0, "")
    assert json_from(app, "clients", "list") == listed
    assert [act for act, _, _ in acts(app)] == ["client.create"]
    assert status(app, "shop", GIVEN) == 200
    told = json_from(app, *command)
    assert "secret" not in told
    assert told["changed"] is False
    # Anything else is refused, unless it is said to be meant.
    secret_file.write_text(GIVEN[::-1])
    assert_fails(run(app, *command), "already")
    assert status(app, "shop", GIVEN) == 200


def test_an_update_gives_other_scopes_and_the_secret_of_the_file(
    app: Flask, secret_file: Path
) -> None:
    given = ("--secret-file", str(secret_file), "--update")
    assert run(app, *SHOP, *given).output == ""
    assert run(app, *CREATE, "shop", "--scope", "metrics:read", "--update").output == ""
    assert status(app, "shop", GIVEN) == 403
    assert run(app, *SHOP, *given).output == ""
    assert status(app, "shop", GIVEN) == 200
    secret_file.write_text(GIVEN[::-1])
    assert run(app, *SHOP, *given).output == ""
    assert (status(app, "shop", GIVEN), status(app, "shop", GIVEN[::-1])) == (401, 200)
    assert json_from(app, *SHOP, *given)["changed"] is False
    assert acts(app) == [
        ("client.create", "shop", "orders:read"),
        ("client.scopes", "shop", "metrics:read"),
        ("client.scopes", "shop", "orders:read"),
        ("client.rotate", "shop", None),
    ]


def test_a_rotation_to_the_secret_of_a_file_may_be_repeated(app: Flask, secret_file: Path) -> None:
    first = made(app, *SHOP)
    rotate = ("clients", "rotate", "shop", "--overlap", "1h", "--secret-file", str(secret_file))
    for _ in range(2):
        result = run(app, *rotate)
        assert (result.exit_code, result.output) == (0, "")
    assert json_from(app, *rotate)["changed"] is False
    # After the first time nothing changed: the former secret is not the file's own.
    assert (status(app, "shop", first), status(app, "shop", GIVEN)) == (200, 200)
    assert len(acts(app)) == 2


@ONLY_SQLITE
@pytest.mark.parametrize("command", ["create", "rotate", "revoke"])
def test_the_environments_user_is_no_client(app: Flask, command: str) -> None:
    scopes = ("--scope", "operate") if command == "create" else ()
    assert_fails(run(app, "clients", command, "admin", *scopes), "'admin'", "AUTH_USERNAME")
    assert json_from(app, "clients", "list") == []


@ONLY_SQLITE
@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_an_unknown_client(app: Flask, command: str) -> None:
    assert_fails(run(app, "clients", command, "shop"), "no client 'shop'", "flask clients list")


@ONLY_SQLITE
@pytest.mark.parametrize(
    "name", ["", "a:b", "a\nb", "a\x1b[2Jb", "\x7f", " a", "a ", "x" * 256, "\udcff", "\u202e"]
)
def test_what_basic_cannot_carry_is_no_name(app: Flask, name: str) -> None:
    result = run(app, *CREATE, name, "--scope", "operate")
    assert_wrong_usage(result)
    assert "\x1b" not in result.output
    assert json_from(app, "clients", "list") == []


@ONLY_SQLITE
@pytest.mark.parametrize("name", ["shop", "Jürgen's till", "日本", "x" * 255])
def test_other_names_are(app: Flask, name: str) -> None:
    secret = made(app, *CREATE, name, "--scope", "orders:read")
    assert status(app, name, secret) == 200


@ONLY_SQLITE
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"too short",
        b"x" * 31,
        b"x" * 256,
        b"two lines, long\n" * 3,
        b"\xff" * 40,
        "é".encode() * 20,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_what_could_be_guessed_or_not_be_sent_is_no_secret(
    app: Flask, secret_file: Path, content: bytes
) -> None:
    secret_file.write_bytes(content)
    result = run(app, *SHOP, "--secret-file", str(secret_file))
    assert_wrong_usage(result)
    assert str(secret_file) in result.stderr
    assert content.decode("latin1") not in result.stderr or not content
    assert json_from(app, "clients", "list") == []


@ONLY_SQLITE
@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "shop"],
        ["create", "--scope", "operate"],
        ["create", "shop", "--scope", "all"],
        ["create", "shop", "--scope", "operate", "--secret-file", "/nonexistent"],
        ["rotate", "shop", "--overlap", "1"],
        ["rotate", "shop", "--overlap", "-1h"],
        ["revoke"],
        ["delete", "shop"],
    ],
    ids=" ".join,
)
def test_wrong_usage(app: Flask, arguments: list[str]) -> None:
    assert_wrong_usage(run(app, "clients", *arguments))
    assert json_from(app, "clients", "list") == []


@pytest.mark.parametrize(
    "arguments", [SHOP, ("clients", "list"), ("clients", "revoke", "shop"), ("audit", "list")]
)
def test_a_lost_database_is_one_line(arguments: list[Any]) -> None:
    url = f"mysql+pymysql://orders:hunter2@127.0.0.1:{free_port()}/orders"
    assert_fails(run(create_app(settings_for(url)), *arguments), "database", "DATABASE_URL")

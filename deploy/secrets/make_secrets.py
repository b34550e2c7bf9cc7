"""Makes the stack's secrets, once: what is there stays, unless a change of it is asked for.

Each folder below /volumes is a volume that only its reader mounts, so no container sees another
one's secrets. Passwords are made here and nowhere else; the files that hold them in another form
(an URL, SQL, a client's options) follow them.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import secrets
import sys

import client_secrets
import database_secrets
from files import GRAFANA, MIGRATE, MYSQL, SERVICE, keep_or_make, own, read, say, write

# The host whose secrets this one has; empty where it makes them itself.
HEAD = os.environ.get("HEAD", "")
DEVELOPMENT_PASSWORD = "securepassword"  # noqa: S105 - the documented development default
API_PASSWORD = SERVICE / "auth_password"
PREVIOUS_API_PASSWORD = SERVICE / "auth_password_previous"
CLIENT_STEPS = {
    "prepare": "make this client's next secret",
    "commit": "use this client's next secret",
    "forget": "remove this client's secret",
}


def take_handed_on() -> None:
    """Have the secrets that the head has made and handed on; make none."""
    handed = json.loads(own("handed") or "{}")
    for folder in (SERVICE, MIGRATE, MYSQL):
        for name, text in handed.get(folder.name, {}).items():
            write(folder / name, text)
    if not read(API_PASSWORD):
        sys.exit(
            f"secrets: this host makes none, and {HEAD} has handed none on; run deploy.yml for all"
            " hosts, without --limit"
        )
    # Not where it is of a MySQL that this host had before, and whose files may still be here.
    if handed.get(MYSQL.name):
        database_secrets.make()
    say(f"those of {HEAD}; this host makes none")


def make_webhook_secrets() -> None:
    """Take the secrets that sign the calls of the user's webhooks, of orders and of events, or make
    them; and take the former ones, if any."""
    for name in ("webhook_secret", "events_secret"):
        path = SERVICE / name
        if brought := own(path.name):
            write(path, brought)
        else:
            keep_or_make(path)
        former = SERVICE / f"{name}_previous"
        write(former, own(former.name))


def is_loopback(address: str) -> bool:
    """Return whether only this host reaches what is published on the address; empty is all."""
    if not address:
        return False
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        sys.exit(
            f"secrets: BIND_ADDRESS: {address!r} is not allowed; expected an IP address such as"
            " 127.0.0.1 or 0.0.0.0"
        )


def make_api_password(*, overlap: bool) -> None:
    """Decide on the API's password: the user's, the one made before, or a new one.

    The development default serves only while nothing but this host can reach the service.

    Args:
        overlap: whether a password that the user's replaces is accepted on.
    """
    bind_address = os.environ.get("BIND_ADDRESS", "127.0.0.1")
    username = os.environ.get("AUTH_USERNAME") or "admin"
    kept = read(API_PASSWORD)
    only_this_host = is_loopback(bind_address)
    how_to_read = "docker compose exec app cat /run/secrets/auth_password"
    if brought := own(API_PASSWORD.name):
        if overlap and brought != kept:
            accept_on(kept)
        write(API_PASSWORD, brought)
        say(f"the API's user is {username}, with the password of AUTH_PASSWORD_FILE")
    elif kept not in ("", DEVELOPMENT_PASSWORD):
        write(API_PASSWORD, kept)
        say(f"the API's user is {username}; its password: {how_to_read}")
    elif only_this_host:
        write(API_PASSWORD, DEVELOPMENT_PASSWORD)
        say(f"the API's user is {username}:{DEVELOPMENT_PASSWORD}, only while on {bind_address}")
    else:
        write(API_PASSWORD, secrets.token_urlsafe(24))
        say(f"the API's user is {username}; its password: {how_to_read}")
    write(PREVIOUS_API_PASSWORD, read(PREVIOUS_API_PASSWORD))
    development = only_this_host and read(API_PASSWORD) == DEVELOPMENT_PASSWORD
    write(SERVICE / "app_env", "development" if development else "production")


def change_api_password() -> None:
    """Make a new password of the API's, once, until the one before is accepted no longer."""
    kept, previous = read(API_PASSWORD), read(PREVIOUS_API_PASSWORD)
    if previous not in ("", kept):
        say("the API's password has been changed already, and the one before is still accepted")
        return
    accept_on(kept)
    write(API_PASSWORD, secrets.token_urlsafe(24))


def accept_on(password: str) -> None:
    """Have the service accept this password beside the one that replaces it."""
    write(PREVIOUS_API_PASSWORD, "" if password == DEVELOPMENT_PASSWORD else password)


def change_clients(given: argparse.Namespace) -> None:
    """Make the clients' secrets that are missing, and take a step of a change."""
    if given.prepare_client:
        client_secrets.prepare_change(given.prepare_client)
    if given.commit_client:
        client_secrets.commit_change(given.commit_client)
    if given.forget_client:
        client_secrets.forget(given.forget_client)
    client_secrets.make(given.client or ())


def main() -> None:
    """Make what is missing, and change what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overlap", action="store_true", help="accept a replaced API password on")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--change-api", action="store_true", help="make a new API password")
    change.add_argument("--retire-api", action="store_true", help="end the API's former password")
    change.add_argument("--prepare-database", action="store_true", help="make the next passwords")
    change.add_argument("--commit-database", action="store_true", help="use the next passwords")
    change.add_argument(
        "--client", type=client_secrets.name, action="append", help="make this client's secret"
    )
    for step, what in CLIENT_STEPS.items():
        change.add_argument(f"--{step}-client", type=client_secrets.name, metavar="NAME", help=what)
    given = parser.parse_args()
    os.umask(0o077)
    if HEAD:
        take_handed_on()
        return
    if database_secrets.EXTERNAL:
        database_secrets.take_external()
    elif given.commit_database:
        database_secrets.commit_change()
    else:
        database_secrets.make()
    if given.prepare_database:
        database_secrets.prepare_change()
    change_clients(given)
    # Whoever changes one thing brings nothing of the webhook's, which is no wish to end one.
    if not any(value for name, value in vars(given).items() if name != "overlap"):
        make_webhook_secrets()
    if GRAFANA.is_dir():
        keep_or_make(GRAFANA / "grafana_password")
    if given.change_api:
        change_api_password()
    if given.retire_api:
        write(PREVIOUS_API_PASSWORD, "")
    make_api_password(overlap=given.overlap)


if __name__ == "__main__":
    main()

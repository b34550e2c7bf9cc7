"""Keeps nginx's certificate valid: the order-service-certificate timer runs it, and deployments do.

An ACME authority is asked where the settings want one. Then nginx's folder gets what it is to
serve: the operator's own certificate, the ACME authority's, or one of the host's own authority,
renewed in time. Then nginx reads it, if it serves another one. Whatever fails, what serves goes on.

The settings say as well whether the host has nginx (`web`), and for which names MySQL needs one.
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

# The host's own, of the package python3-cryptography: version 41 (Ubuntu 24.04) or later.
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from order_service.certificates import bring, of_mysql
from order_service.certificates.authority import CertificateError, end_of, start_of
from order_service.dotenv import dotenv
from order_service.host import (
    AUTHORITY,
    CERTIFICATES,
    RELEASES,
    ROOT,
    SETTINGS,
    CommandError,
    read_json,
    run,
    say,
    try_run,
)
from order_service.release import ledger, nginx, smoke
from order_service.release.project import base
from order_service.secrets import handed
from order_service.turns import in_turn

__all__ = ["end_of", "installed", "main", "start_of"]

# Root's alone: nginx's key belongs to its user's number, which is somebody else's on the host.
PRIVATE = ROOT / "private"
LEAF = CERTIFICATES / "tls.crt"
ACME_SECONDS = 900
SECONDS = 10
# A public certificate serves, but was not renewed: a deployment goes on.
NOT_RENEWED = 3


def main() -> None:
    """Do it; the last line begins with CHANGED or UNCHANGED, and ends with what serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--local", action="store_true", help="ask no ACME authority")
    parser.add_argument("--now", action="store_true", help="ask it, even if it refused just now")
    parser.add_argument(
        "--handed", action="store_true", help="take the authority of the standard input, as JSON"
    )
    given = parser.parse_args()
    settings = read_json(SETTINGS / "certificate.json", {})
    problem = ""
    try:
        if given.handed:
            handed.take_authority(json.load(sys.stdin))
        with in_turn("certificate"):
            if settings.get("acme") and not given.local:
                problem = _ask(settings, now=given.now)
            brought = _bring(settings)
            changed = _take_up(settings, always=brought.changed) or brought.changed
    except (CertificateError, CommandError, OSError, ValueError) as failure:
        sys.exit(f"FAILED: {failure}")
    if problem:
        sys.stderr.write(f"FAILED: {problem}. What serves goes on: {brought.text}\n")
        sys.exit(NOT_RENEWED if brought.public else 1)
    say(f"{'CHANGED' if changed else 'UNCHANGED'}: {brought.text}")


def installed() -> x509.Certificate:
    """Return the certificate that nginx is given.

    Raises:
        CommandError: it is none.
    """
    try:
        return x509.load_pem_x509_certificate(LEAF.read_bytes())
    except ValueError as problem:
        raise CommandError(f"{LEAF} is no certificate ({problem}); run deploy.yml") from None


def _bring(settings: dict[str, Any]) -> bring.Brought:
    _make_private()
    for_mysql = bool(settings.get("mysql")) and of_mysql.bring(settings["mysql"])
    if not settings.get("web", True):
        _, made = bring.private_authority(AUTHORITY)
        return bring.Brought("the private authority", for_mysql or made, public=False)
    places = bring.Places(
        nginx=CERTIFICATES,
        authority=AUTHORITY,
        own=PRIVATE / "own",
        acme=PRIVATE / "acme" / "current" if settings.get("acme") else None,
    )
    brought = bring.bring(places, settings.get("names", []), settings.get("fallback", []))
    return replace(brought, changed=brought.changed or for_mysql)


def _make_private() -> None:
    """Have nginx's folder below one that is root's alone, and a link in its former place.

    nginx's container goes on with the folder that was moved, and the next one follows the link.
    """
    PRIVATE.mkdir(mode=0o700, exist_ok=True)
    folder = PRIVATE / CERTIFICATES.name
    if CERTIFICATES.is_dir() and not CERTIFICATES.is_symlink():
        CERTIFICATES.rename(folder)
    folder.mkdir(exist_ok=True)
    if not CERTIFICATES.is_symlink():
        CERTIFICATES.symlink_to(Path(PRIVATE.name) / folder.name)


def _ask(settings: dict[str, Any], *, now: bool) -> str:
    """Have the ACME authority issue or renew what is due; return what went wrong."""
    release = ledger.read()["active"]
    if release is None or not _nginx_runs():
        return "nginx does not run, so no ACME authority can look at this host"
    folder = RELEASES / release
    acme = {name: value for name, value in settings["acme"].items() if value}
    given = {"TLS_NAMES": ",".join(acme.pop("names"))}
    given |= {f"ACME_{name.upper()}": value for name, value in acme.items()}
    try:
        base(folder, release, mounted=folder).compose(
            *("run", "--rm", "--no-deps", "-T"),
            *(f"--env={name}={value}" for name, value in given.items()),
            *("acme", "python", "-m", "order_service.certificates.acme", "--once"),
            *(["--now"] if now else []),
            seconds=ACME_SECONDS,
        )
    except CommandError as problem:
        return str(problem).rpartition("FAILED: ")[2]
    return ""


def _nginx_runs() -> bool:
    try:
        state = try_run(["docker", "inspect", "--format", "{{.State.Running}}", nginx.CONTAINER])
    except OSError:
        return False  # there is no Docker yet
    return state.stdout.strip() == "true"


def _take_up(settings: dict[str, Any], *, always: bool) -> bool:
    """Have nginx and MySQL serve the certificates that are in place; return whether they did not
    yet."""
    changed = bool(settings.get("mysql")) and of_mysql.take_up(always=always)
    return _take_up_by_nginx(always=always) or changed


def _take_up_by_nginx(*, always: bool) -> bool:
    if not _nginx_runs():
        return False
    wanted = installed().public_bytes(Encoding.DER)
    if not always and _served() == wanted:
        return False
    nginx.reload()
    say("nginx uses what is in place")
    return True


def _served() -> bytes | None:
    """Return the certificate that clients get, or None when there is no answer."""
    port = run(["docker", "port", nginx.CONTAINER, "8443/tcp"]).split()[0].rpartition(":")[2]
    # Whoever signed it: this looks at the certificate, and trusts it with nothing.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", int(port)), SECONDS) as plain:
            if dotenv().get("PROXY_PROTOCOL") == "on":
                plain.sendall(smoke.PROXY_LINE)
            with context.wrap_socket(plain) as secured:
                return secured.getpeercert(binary_form=True)
    except OSError:
        return None

"""The secrets' volumes on this host, and the one-shot container that fills them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from order_service.host import RELEASES, RUN, STACK, CommandError, run

VOLUME = "order-service_service-secrets"
MYSQL_VOLUME = "order-service_mysql-secrets"
MAKE_SECRETS = ("python", "deploy/make_secrets.py")
MEMORY = RUN / "order-service-secrets"
SECONDS = 120


def make(release: str, *changes: str, own: Mapping[str, str] | None = None) -> set[str]:
    """Run the release's one-shot; return the names of the files that it made or changed.

    Args:
        release: whose image it is.
        changes: what is to be changed, as arguments of make_secrets.py.
        own: secrets that are not to be made, but taken; by the variables of docker-compose.yml that
            name their files.

    Raises:
        CommandError: it failed; the text says why.
    """
    base = RELEASES / release
    files = ("-f", f"{base}/docker-compose.yml", "-f", f"{base}/deploy/host/base.yml")
    project = ("-p", "order-service", *files, "--env-file", f"{STACK}/.env")
    container = ("run", "--rm", "--no-deps", "-T", "secrets")
    with in_memory(own or {}) as paths:
        wrote = run(
            ["docker", "compose", *project, *container, *MAKE_SECRETS, *changes],
            seconds=SECONDS,
            env={"COMPOSE_FILE": "", "RELEASE": release} | paths,
        )
    return set(re.findall(r"^secrets: (?:made|changed) (\S+)$", wrote, re.MULTILINE))


@contextmanager
def in_memory(secrets: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Have the secrets in files that are on no disk, and give their paths."""
    shutil.rmtree(MEMORY, ignore_errors=True)
    MEMORY.mkdir(mode=0o700)
    try:
        for name, secret in secrets.items():
            path = MEMORY / name
            path.touch(mode=0o400)
            path.write_text(secret, encoding="utf-8")
        yield {name: str(MEMORY / name) for name in secrets}
    finally:
        shutil.rmtree(MEMORY)


def folder(volume: str = VOLUME) -> Path:
    """Return where the service's secrets lie, or those of another volume."""
    where = run(["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", volume])
    return Path(where.strip())


def text(name: str, volume: str = VOLUME) -> str:
    """Return a secret, one of the service's unless told else; empty where there is none."""
    path = folder(volume) / name
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def changed_at(name: str) -> datetime:
    """Return when one of the service's secrets was last changed."""
    return datetime.fromtimestamp((folder() / name).stat().st_mtime, UTC)


def newer_than(containers: Sequence[str]) -> bool:
    """Return whether a secret has changed since these containers read them, at their start."""
    if not containers:
        return True
    newest = max(changed_at(path.name) for path in folder().iterdir())
    return newest > min(map(started_at, containers))


def started_at(container: str) -> datetime:
    """Return when a container was last started.

    Raises:
        CommandError: there is no such container.
    """
    told = run(["docker", "inspect", "--format", "{{.State.StartedAt}}", container]).strip()
    # Docker counts nanoseconds, and leaves out zeros at their end.
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?", told)
    if found is None:
        raise CommandError(f"{container} was started at {told!r}; expected an RFC 3339 time")
    return datetime.fromisoformat(f"{found[1]}.{(found[2] or '').ljust(6, '0')}+00:00")

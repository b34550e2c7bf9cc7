"""The secrets that one host, the head, makes and hands on to those that make none.

They go as one JSON object through the memory of whoever runs the playbook: by place (`service`,
`migrate`, `mysql`: the volumes; `authority`), and there by the file's name, what is in the file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from order_service.dotenv import DATABASE, WEB, WORKER, head
from order_service.host import AUTHORITY, CommandError, write_text
from order_service.secrets import api_clients, secret_files

Handed = Mapping[str, Mapping[str, str]]
# Prepared for a change is what begins or ends with `next`; what is left out follows the passwords.
_FILES = {
    "service": ("[!.]*",),
    "migrate": ("database_*", "client_*"),
    "mysql": ("*_password",),
    "authority": ("ca.*",),
}
# What a host is there for, and what it needs for that.
_NEEDED = {
    WORKER: {"service"},
    WEB: {"service", "authority"},
    DATABASE: set(_FILES),
}
PARTS = tuple(_NEEDED)
_FORM = f"expected an object of {', '.join(_FILES)}, and in each the files' contents by their names"


def export(parts: Collection[str]) -> Handed:
    """Return what a host needs that has these parts.

    Raises:
        CommandError: this host makes none itself.
    """
    if name := head():
        raise CommandError(f"this host's secrets are made on {name}: ask that one for them")
    wanted = set().union(*(_NEEDED[part] for part in parts))
    return {
        place: {path.name: path.read_text(encoding="utf-8") for path in _files(place)}
        for place in _FILES
        if place in wanted
    }


def take(release: str, handed: Handed) -> set[str]:
    """Have this host's secrets be those that were handed on; return the names of what changed.

    Args:
        release: whose image puts them into the volumes.
        handed: what `export` returned on the head; what is not in it stays as it is.

    Raises:
        CommandError: they are none, or the host has none at all.
    """
    _check(handed)
    changed = take_authority(handed)
    volumes = {place: files for place, files in handed.items() if place != "authority"}
    return changed | secret_files.make(release, own={"HANDED_FILE": json.dumps(volumes)})


def take_authority(handed: Handed) -> set[str]:
    """Have the authority of this host be the one that was handed on, if one was."""
    _check(handed)
    changed = set()
    for name, text in handed.get("authority", {}).items():
        path = AUTHORITY / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            AUTHORITY.mkdir(mode=0o700, exist_ok=True)
            write_text(path, text, 0o600 if name.endswith(".key") else 0o644)
            changed.add(name)
    return changed


def _files(place: str) -> Iterator[Path]:
    volumes = {
        "service": secret_files.VOLUME,
        "migrate": api_clients.VOLUME,
        "mysql": secret_files.MYSQL_VOLUME,
    }
    folder = secret_files.folder(volumes[place]) if place in volumes else AUTHORITY
    for pattern in _FILES[place]:
        yield from sorted(folder.glob(pattern))


def _check(handed: object) -> None:
    if not isinstance(handed, dict) or set(handed) - set(_FILES):
        raise CommandError(f"what was handed on is none of the head's secrets; {_FORM}")
    for place, files in handed.items():
        if not isinstance(files, dict) or not all(
            isinstance(text, str) and Path(name).name == name for name, text in files.items()
        ):
            raise CommandError(f"what was handed on for {place} is wrong; {_FORM}")

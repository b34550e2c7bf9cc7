"""The files that hold secrets: each for one reader, and never half written."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from pathlib import Path

VOLUMES = Path(os.environ.get("VOLUMES", "/volumes"))
MYSQL = VOLUMES / "mysql"
MIGRATE = VOLUMES / "migrate"
SERVICE = VOLUMES / "service"
MONITORING = VOLUMES / "monitoring"
GRAFANA = VOLUMES / "grafana"
# The number is the user's and the group's.
SERVICE_ID = 10001
MYSQL_ID = int(os.environ.get("MYSQL_GROUP", "999"))
MONITORING_ID = int(os.environ.get("MONITORING_GROUP", "65534"))
GRAFANA_ID = int(os.environ.get("GRAFANA_GROUP", "472"))
# Files of the user's, or /dev/null.
OWN = Path(os.environ.get("OWN_SECRETS", "/run/own"))
READERS = {MYSQL: MYSQL_ID, MONITORING: MONITORING_ID, GRAFANA: GRAFANA_ID}


def say(text: str) -> None:
    """Tell the reader of `docker compose logs secrets`."""
    sys.stdout.write(f"secrets: {text}\n")


def write(path: Path, text: str) -> None:
    """Put the text in place as a whole, for the folder's reader only, and say what changed.

    As root it is the reader's own. Else MySQL's group may read what is MySQL's, and so on: that
    needs no root.
    """
    reader = READERS.get(path.parent, SERVICE_ID)
    if os.geteuid() == 0:
        owner, group, mode = reader, reader, 0o400
    elif reader != SERVICE_ID:
        owner, group, mode = os.geteuid(), reader, 0o440
    else:
        owner, group, mode = os.geteuid(), os.getegid(), 0o400
    existed = path.exists()
    if existed and path.read_text(encoding="utf-8") == text:
        found = path.stat()
        if (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (owner, group, mode):
            return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.chmod(mode)
    os.chown(new, owner, group)
    new.replace(path)
    say(f"{'changed' if existed else 'made'} {path.name}")


def read(path: Path) -> str:
    """Return the secret in the file, or an empty text where there is none."""
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def keep_or_make(path: Path) -> str:
    """Return the password in the file; make one where there is none."""
    password = read(path) or secrets.token_urlsafe(24)
    write(path, password)
    return password


def own(name: str) -> str:
    """Return the secret that the user brought, or an empty text."""
    try:
        return (OWN / name).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(
            f"secrets: {name.upper()}_FILE cannot be read ({error}); expected a text file that"
            f" user {os.geteuid()} may read: see its mode and its owner"
        )

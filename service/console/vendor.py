"""Fetches what `assets/vendor.json` names, with npm: `make vendor`. Not part of the image.

For another version, change `version` there, and leave `integrity` empty: it is filled in.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).parent / "assets"
RECORD = ASSETS / "vendor.json"
SECONDS = 120


def main() -> None:
    """Fetch all packages, and write down what came."""
    packages = json.loads(RECORD.read_text())
    for package in packages:
        with tempfile.TemporaryDirectory() as folder:
            _unpack(package, _fetch(package, Path(folder)))
    RECORD.write_text(json.dumps(packages, indent=2) + "\n")


def _fetch(package: dict[str, Any], folder: Path) -> Path:
    # Always with the version: without one, npm takes the newest that this Node can run.
    wanted = f"{package['name']}@{package['version']}"
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), wanted]
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as problem:
        sys.exit(f"{wanted} could not be fetched ({problem}); expected npm and its registry")
    [archive] = folder.glob("*.tgz")
    digest = hashlib.sha512(archive.read_bytes()).digest()
    integrity = f"sha512-{base64.b64encode(digest).decode()}"
    if package["integrity"] not in ("", integrity):
        sys.exit(f"{wanted} has the integrity {integrity}; expected {package['integrity']}")
    package["integrity"] = integrity
    return archive


def _unpack(package: dict[str, Any], archive: Path) -> None:
    with tarfile.open(archive) as packed:
        for file in package["files"]:
            member = packed.extractfile(f"package/{file['path']}")
            if member is None:
                sys.exit(f"{package['name']} has no file {file['path']}")
            content = member.read()
            (ASSETS / file["to"]).write_bytes(content)
            file["sha256"] = hashlib.sha256(content).hexdigest()
            sys.stdout.write(f"{file['to']}: {package['name']} {package['version']}\n")


if __name__ == "__main__":
    main()

"""Pins the images of docker-compose.yml to what the registries have for their tags now.

    make update-images                   all of them
    make update-images ARGS="nginx"      only these

What has changed becomes a commit, which is deployed as any release. Docker's buildx asks the
registries, so the digest is that of all platforms' images together.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "docker-compose.yml"
# `  nginx: &nginx nginx:1.30@sha256:...`, the digest being optional.
ENTRY = re.compile(
    r"^  (?P<name>\w+): &\w+ (?P<tag>[^\s@]+)(?P<digest>@sha256:\w+)?$", re.MULTILINE
)
SECONDS = 60


def main() -> None:
    """Raise what the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of an image; default: all")
    text = FILE.read_text(encoding="utf-8")
    known = [entry["name"] for entry in ENTRY.finditer(text)]
    wanted = parser.parse_args().names or known
    if unknown := sorted(set(wanted) - set(known)):
        parser.error(f"no image {', '.join(unknown)}; {FILE.name} has {', '.join(known)}")
    if _run("git", "status", "--porcelain", FILE.name):
        sys.exit(f"{FILE.name} has changes that are not committed; commit them first")
    raised = []
    # From the end, so that what is found before keeps its place.
    for entry in reversed([one for one in ENTRY.finditer(text) if one["name"] in wanted]):
        digest = f"@{_digest(entry['tag'])}"
        if digest != entry["digest"]:
            start, end = entry.end("tag"), entry.end()
            text = text[:start] + digest + text[end:]
            raised.append(f"{entry['tag']}: {entry['digest'] or 'no digest'} -> {digest}")
    if not raised:
        sys.stdout.write("The images are those that the registries have for their tags.\n")
        return
    FILE.write_text(text, encoding="utf-8")
    lines = "\n".join(reversed(raised))
    _run("git", "commit", f"--message=Raise the images\n\n{lines}", "--", FILE.name)
    sys.stdout.write(f"{lines}\nCommitted. Deploy it as any release.\n")


def _digest(tag: str) -> str:
    asked = ("docker", "buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", tag)
    digest: str = json.loads(_run(*asked))["digest"]
    return digest


def _run(*command: str) -> str:
    """Return what a command prints; end with its own words when it fails. Nothing has changed."""
    try:
        done = subprocess.run(  # noqa: S603 - a list, without a shell
            command, capture_output=True, check=False, cwd=FILE.parent, text=True, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        sys.exit(f"{' '.join(command)}: {problem}")
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()

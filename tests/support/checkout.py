"""A checkout of the project whose commits are releases."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.stack import fresh_checkout

AUTHOR = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Deploy Test"), ("EMAIL", "deploy@test.invalid"))
}


class Checkout:
    """A Git repository with the files of this one and commits of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = fresh_checkout(folder)
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("The release under test")

    def git(self, *arguments: str) -> str:
        """Run Git in the checkout and return its output."""
        return subprocess.run(
            ["git", *arguments],
            capture_output=True,
            check=True,
            cwd=self.folder,
            env=os.environ | AUTHOR,
            text=True,
        ).stdout.strip()

    @property
    def head(self) -> str:
        """The commit that a deploy ships."""
        return self.git("rev-parse", "HEAD")

    def commit(self, message: str) -> str:
        """Commit everything, changed or not, and return the new commit: a new release."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.head

    def write(self, path: str, text: str) -> None:
        """Write a file, which may be new."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace a text that occurs in the file."""
        text = (self.folder / path).read_text()
        assert old in text, f"{path} does not contain {old!r}"
        self.write(path, text.replace(old, new))

    def reset(self, commit: str) -> None:
        """Make the checkout that of the commit again."""
        self.git("reset", "--quiet", "--hard", commit)
        self.git("clean", "--quiet", "--force", "-d")

"""Files of certificates and keys, each put in place as a whole."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

# nginx's user and group in its image.
NGINX = int(os.environ.get("NGINX_ID", "101"))


@dataclass
class Files:
    """Brings files to what they should be, each as a whole; a dry run only tells `changed`."""

    dry: bool = False
    changed: bool = field(default=False, init=False)

    def folder(self, path: Path, mode: int) -> None:
        """Have a folder with this mode."""
        if path.is_dir() and stat.S_IMODE(path.stat().st_mode) == mode:
            return
        self.changed = True
        if not self.dry:
            path.mkdir(exist_ok=True)
            path.chmod(mode)

    def put(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        """Have a file with this content and mode."""
        self._put(path, content, mode, (-1, -1))

    def put_key(self, path: Path, content: bytes) -> None:
        """Have a private key that nginx may read, and nobody else but root or who writes it."""
        if os.geteuid() == 0:
            self._put(path, content, 0o400, (NGINX, NGINX))
        else:
            self._put(path, content, 0o640, (-1, NGINX))

    def remove(self, path: Path) -> None:
        """Have no such file."""
        if path.exists():
            self.changed = True
            if not self.dry:
                path.unlink()

    def _put(self, path: Path, content: bytes, mode: int, owners: tuple[int, int]) -> None:
        if path.is_file() and path.read_bytes() == content:
            is_now = path.stat()
            user, group = owners
            owned = user in (-1, is_now.st_uid) and group in (-1, is_now.st_gid)
            if owned and stat.S_IMODE(is_now.st_mode) == mode:
                return
        self.changed = True
        if self.dry:
            return
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        # Nobody else's until it has its owner and its mode.
        new.touch(mode=0o600)
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chown(new, *owners)
        new.chmod(mode)
        new.replace(path)

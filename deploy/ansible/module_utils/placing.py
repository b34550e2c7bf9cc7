"""Files and folders as they should be: what this project's own modules share.

Whoever is named neither as the owner nor as the group: both are root, where root runs this.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def put_file(
    module: AnsibleModule,
    path: Path,
    content: bytes,
    *,
    mode: str,
    owner: str | None = None,
    group: str | None = None,
) -> bool:
    """Make a file what it should be, as a whole; return whether it was not."""
    if path.is_file() and path.read_bytes() == content:
        return _bring(module, path, mode, owner, group)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected a file; move it away")
    if not module.check_mode:
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        try:
            # Nobody else's until it has its owner and its mode.
            new.touch(mode=0o600)
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                # Else a power cut can leave the new name with nothing in it.
                os.fsync(file.fileno())
            _bring(module, new, mode, owner, group)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    return True


def put_folder(
    module: AnsibleModule,
    path: Path,
    *,
    mode: str,
    owner: str | None = None,
    group: str | None = None,
) -> bool:
    """Make a folder what it should be, with the folders above that are missing; tell the same.

    The ones above are open to all readers, as root makes them.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    if not missing and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file, expected a folder; move it away")
    if not module.check_mode:
        for folder in reversed(missing):
            folder.mkdir()
            _bring(module, folder, mode if folder == path else "0755", owner, group)
    return _bring(module, path, mode, owner, group) or bool(missing)


def remove(module: AnsibleModule, path: Path) -> bool:
    """Remove a file, or a folder with all that is in it; return whether there was one."""
    there = path.is_symlink() or path.exists()
    if there and not module.check_mode:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return there


def _bring(
    module: AnsibleModule, path: Path, mode: str, owner: str | None, group: str | None
) -> bool:
    root = "root" if os.geteuid() == 0 else None
    given = {"mode": mode, "owner": owner or root, "group": group or root}
    wanted = module.load_file_common_arguments(given, path=str(path))
    changed: bool = module.set_fs_attributes_if_different(wanted, changed=False)
    return changed

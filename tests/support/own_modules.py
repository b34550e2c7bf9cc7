"""Runs the project's own Ansible modules in this process, as Ansible runs them on a host."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import ansible.module_utils
import pytest
from ansible.module_utils.testing import patch_module_args

from tests.support.service_process import REPOSITORY

ANSIBLE = REPOSITORY / "deploy" / "ansible"
# As ansible.cfg names it.
SHARED = ANSIBLE / "module_utils"


def load(path: Path) -> ModuleType:
    """Return a file that is in no package, such as one of filters, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec, path
    assert spec.loader, path
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


class OwnModule:
    """One of the modules, by its file below deploy/ansible."""

    def __init__(self, path: str, folder: Path) -> None:
        self._path, self._folder = ANSIBLE / path, folder

    def run(self, *, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run it; return what it answered, which has `failed` where it refused."""
        told = {"_ansible_check_mode": check_mode, "_ansible_tmpdir": str(self._folder)}
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patched:
            found = [*ansible.module_utils.__path__, str(SHARED)]
            patched.setattr(ansible.module_utils, "__path__", found)
            program = load(self._path)
            with (
                patch_module_args({**arguments, **told}),
                contextlib.redirect_stdout(output),
                pytest.raises(SystemExit),
            ):
                program.main()
        answer: dict[str, Any] = json.loads(output.getvalue())
        return answer

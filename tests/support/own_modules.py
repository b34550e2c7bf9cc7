"""Runs the project's own Ansible modules in this process, as Ansible runs them on a host."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import ansible.module_utils
import pytest
from ansible.module_utils.testing import patch_module_args

from tests.support.service_process import REPOSITORY

ANSIBLE = REPOSITORY / "deploy" / "ansible"
# As ansible.cfg names it.
SHARED = ANSIBLE / "module_utils"


class OwnModule:
    """One of the modules, by its file below deploy/ansible."""

    def __init__(self, path: str, folder: Path) -> None:
        self._path, self._folder = ANSIBLE / path, folder

    def run(self, *, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run it; return what it answered, which has `failed` where it refused."""
        spec = importlib.util.spec_from_file_location(self._path.stem, self._path)
        assert spec, self._path
        assert spec.loader, self._path
        program = importlib.util.module_from_spec(spec)
        told = {"_ansible_check_mode": check_mode, "_ansible_tmpdir": str(self._folder)}
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patched:
            found = [*ansible.module_utils.__path__, str(SHARED)]
            patched.setattr(ansible.module_utils, "__path__", found)
            spec.loader.exec_module(program)
            with (
                patch_module_args({**arguments, **told}),
                contextlib.redirect_stdout(output),
                pytest.raises(SystemExit),
            ):
                program.main()
        answer: dict[str, Any] = json.loads(output.getvalue())
        return answer

"""Certificates for tests, made by the stack's own authority."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from tests.support.service_process import REPOSITORY


def authority() -> Any:
    """Return the stack's own authority, to stand in for a public one."""
    path = REPOSITORY / "deploy" / "certs" / "authority.py"
    spec = importlib.util.spec_from_file_location("authority", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["authority"] = module
    spec.loader.exec_module(module)
    return module

"""The application: importing it starts nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from service.database_url import PROJECT_ROOT

# Every module of the service; gunicorn's settings are none.
IMPORT_ALL = """
import importlib, pkgutil, threading
import service, wsgi
for module in pkgutil.walk_packages(service.__path__, "service."):
    importlib.import_module(module.name)
print(*(thread.name for thread in threading.enumerate()))
"""


def test_no_import_starts_a_thread(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path}/orders.db", "PROCESSOR_THREADS": "8"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("MainThread\n", "")

"""What a run was made on and with: figures mean little without it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from bench.database import SERVICE_BIN
from tests.support.mysql_server import MySQLServer
from tests.support.service_process import REPOSITORY

SERVICE_PACKAGES = ("gunicorn", "flask", "sqlalchemy", "pymysql")
PEER_PACKAGES = ("granian", "fastapi", "uvicorn", "uvloop", "aiomysql", "pydantic", "celery")
BENCH_PYTHON = SERVICE_BIN.parent / "bench" / "bin" / "python"
VERSIONS = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"


def describe_machine() -> dict[str, str | int | float]:
    """Return processor, cores, memory, kernel and what it is busy with; nothing that names it."""
    return {
        "processor": _field("/proc/cpuinfo", r"model name\s*: (.+)") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_field("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0) / 1024**2, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def describe_versions(mysql: MySQLServer) -> dict[str, str]:
    """Return the commit and the versions of what took part."""
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "mysql": str(mysql.query("SELECT VERSION()")[0][0]),
        "nginx": _said(["docker", "run", "--rm", "--entrypoint=nginx", "nginx:1.30", "-v"]),
        "redis": _said(["redis-server", "--version"]),
        "wrk": _said(["wrk", "--version"]),
        **_packages(SERVICE_BIN / "python", SERVICE_PACKAGES),
        **_packages(BENCH_PYTHON, PEER_PACKAGES),
    }


def _field(file: str, pattern: str) -> str | None:
    found = re.search(pattern, Path(file).read_text())
    return found[1].strip() if found else None


def _commit() -> str:
    commit = _run(["git", "rev-parse", "--short=12", "HEAD"]).strip()
    changed = _run(["git", "status", "--porcelain", "--untracked-files=no"]).strip()
    return f"{commit} with changes" if changed else commit


def _said(command: list[str]) -> str:
    found = re.search(r"\d+\.\d+\.\d+", _run(command))
    return found[0] if found else "unknown"


def _packages(python: Path, names: tuple[str, ...]) -> dict[str, str]:
    versions = _run([str(python), "-c", VERSIONS, *names]).split()
    return dict(zip(names, versions, strict=True))


def _run(command: list[str]) -> str:
    # Some programs tell their version on standard error, wrk with an exit code of 1.
    done = subprocess.run(
        command, capture_output=True, check=False, cwd=REPOSITORY, text=True, timeout=60
    )
    return done.stdout + done.stderr

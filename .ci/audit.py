"""Looks for known vulnerabilities in the locked requirements, with pip-audit.

Advisories that are accepted for now stand in pyproject.toml, each with its last day. Where no
service of advisories answers, this says so, and fails only with AUDIT=required. The service is
PyPI, or what PIP_AUDIT_OSV_URL names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

ROOT = Path(__file__).resolve().parents[1]
PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
# A version that has advisories: a mirror may answer without knowing any. The hash is nobody's,
# since nothing is installed.
KNOWN_BAD = f"urllib3==1.26.4 --hash=sha256:{64 * '0'}\n"
SECONDS = 15


def main() -> None:
    """Audit; exit with 1 where something is found."""
    locked = sorted(ROOT.glob("requirements*.txt"))
    accepted = _accepted()
    service = "osv" if os.environ.get("PIP_AUDIT_OSV_URL") else "pypi"
    # Strict: what the service does not know has not been looked at, and fails.
    command = [str(PIP_AUDIT), "--strict", "--progress-spinner=off", "--disable-pip"]
    command += ["--require-hashes", f"--vulnerability-service={service}", f"--timeout={SECONDS}"]
    if problem := _unreachable(command):
        names = ", ".join(path.name for path in locked)
        sys.stderr.write(f"AUDIT: NOT LOOKED AT: {names}: there are no advisories: {problem}\n")
        sys.exit(os.environ.get("AUDIT") == "required")
    command += [f"--ignore-vuln={advisory}" for advisory in accepted]
    # One by one: they may have different versions of a package.
    failed = [path for path in locked if _fails([*command, f"--requirement={path}"])]
    sys.exit(bool(failed))


def _fails(command: list[str]) -> bool:
    return subprocess.run(command, check=False).returncode != 0  # noqa: S603 - a list, no shell


def _accepted() -> list[str]:
    """Return the advisories that are accepted today; end where one was until yesterday."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    accepted = settings["tool"]["audit"]["accepted"]
    today = datetime.now(UTC).date()
    for advisory, until in accepted.items():
        if type(until) is not date:
            sys.exit(f"AUDIT: {advisory} is accepted until {until}; expected a day: 2027-01-31")
        if until < today:
            sys.exit(f"AUDIT: {advisory} was accepted until {until}; mend it, or say for how long")
    return list(accepted)


def _unreachable(command: list[str]) -> str:
    """Return why the service knows no advisories; empty where it does."""
    with NamedTemporaryFile("w", suffix=".txt") as bad:
        bad.write(KNOWN_BAD)
        bad.flush()
        asked = [*command, "--format=json", f"--requirement={bad.name}"]
        done = subprocess.run(asked, capture_output=True, check=False, text=True)  # noqa: S603
    try:
        known = json.loads(done.stdout)["dependencies"][0]["vulns"]
    except (ValueError, KeyError, IndexError):
        return (done.stderr.strip().splitlines() or ["pip-audit says nothing"])[-1]
    return "" if known else "the service knows none"


if __name__ == "__main__":
    main()

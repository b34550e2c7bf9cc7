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
import urllib.request
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
# Of a version that has advisories: a mirror may answer without knowing any.
PYPI = os.environ.get("ADVISORIES_URL", "")
QUESTION = b'{"package": {"name": "urllib3", "ecosystem": "PyPI"}, "version": "1.26.4"}'
SECONDS = 15


def main() -> None:
    """Audit; exit with 1 where something is found."""
    locked = sorted(ROOT.glob("requirements*.txt"))
    accepted = _accepted()
    other = os.environ.get("PIP_AUDIT_OSV_URL")
    if problem := _unreachable(other):
        names = ", ".join(path.name for path in locked)
        sys.stderr.write(f"AUDIT: NOT LOOKED AT: {names}: there are no advisories: {problem}\n")
        sys.exit(os.environ.get("AUDIT") == "required")
    # Strict: what the service does not know has not been looked at, and fails.
    command = [str(PIP_AUDIT), "--strict", "--progress-spinner=off", "--disable-pip"]
    command += ["--require-hashes", f"--vulnerability-service={'osv' if other else 'pypi'}"]
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


def _unreachable(other: str | None) -> str:
    """Return why the service knows no advisories; empty where it does."""
    url, question = (other, QUESTION) if other else (PYPI, None)
    try:
        with urllib.request.urlopen(url, question, SECONDS) as answer:  # noqa: S310 - HTTP
            known = json.load(answer)
    except (OSError, ValueError) as problem:
        return f"{url}: {problem}"
    found = known.get("vulns" if other else "vulnerabilities")
    return "" if found else f"{url} knows none"


if __name__ == "__main__":
    main()

"""Vulnerabilities of the locked requirements: found, accepted for a while, or not looked at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.service_process import REPOSITORY

ADVISORY = "GHSA-test-test-test"
TODAY = datetime.now(UTC).date()
LOCKED = f"good-package==1.0 --hash=sha256:{64 * '0'}\nbad-package==2.0 --hash=sha256:{64 * '1'}\n"


class Advisories(BaseHTTPRequestHandler):
    """Answers as OSV does: there is an advisory for one of the project's packages."""

    bad: tuple[str, ...] = ("bad-package", "urllib3")

    def do_POST(self) -> None:
        """Answer a question about a version of a package."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        bad = asked["package"]["name"] in self.bad
        known = {"id": ADVISORY, "summary": "It is bad", "affected": []}
        body = json.dumps({"vulns": [known]} if bad else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def advisories() -> Iterator[str]:
    """Where advisories can be had."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with two locked requirements, that accepts no advisory."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(REPOSITORY / ".ci/audit.py", tmp_path / ".ci")
    (tmp_path / "requirements.txt").write_text(LOCKED)
    accept(tmp_path, "")
    return tmp_path


def accept(project: Path, line: str) -> None:
    """Have the project accept an advisory."""
    (project / "pyproject.toml").write_text(f"[tool.audit.accepted]\n{line}\n")


def audit(project: Path, url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Audit the project, whatever comes of it."""
    return subprocess.run(
        [sys.executable, project / ".ci/audit.py"],
        capture_output=True,
        check=False,
        env=os.environ | {"PIP_AUDIT_OSV_URL": url} | environment,
        text=True,
        timeout=60,
    )


def test_an_advisory_fails_unless_it_is_accepted_for_a_while(
    project: Path, advisories: str
) -> None:
    found = audit(project, advisories)
    assert found.returncode == 1
    assert "bad-package 2.0" in found.stdout
    assert ADVISORY in found.stdout
    accept(project, f'"{ADVISORY}" = {TODAY}')
    assert audit(project, advisories).returncode == 0


@pytest.mark.parametrize(
    ("until", "said"),
    [(TODAY - timedelta(days=1), "was accepted until"), ('"for ever"', "expected a day")],
)
def test_an_exception_has_an_end(project: Path, advisories: str, until: object, said: str) -> None:
    accept(project, f'"{ADVISORY}" = {until}')
    done = audit(project, advisories)
    assert done.returncode == 1
    assert f"AUDIT: {ADVISORY}" in done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(("environment", "status"), [({}, 0), ({"AUDIT": "required"}, 1)])
def test_what_nobody_could_look_at_is_said(
    project: Path, environment: dict[str, str], status: int
) -> None:
    done = audit(project, "http://127.0.0.1:9/v1/query", **environment)
    assert done.returncode == status
    assert "AUDIT: NOT LOOKED AT: requirements.txt" in done.stderr


def test_a_service_that_knows_no_advisory_at_all_is_none(
    project: Path, advisories: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Advisories, "bad", ())
    done = audit(project, advisories)
    assert "there are no advisories: the service knows none" in done.stderr
    assert "No known vulnerabilities found" not in done.stdout

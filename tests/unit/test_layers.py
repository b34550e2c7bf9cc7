"""What is left out is said with the command for it, and never in CI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service_process import REPOSITORY

NOWHERE = "/nonexistent"

pytestmark = pytest.mark.slow


def collect(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments],
        capture_output=True,
        check=False,
        cwd=REPOSITORY,
        env=inherited | variables,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("chosen", "left_out"),
    [("fast", "of hosts: CI=true make test"), ("gate", "of hosts/extended: make extended")],
)
def test_a_set_says_what_it_leaves_out(chosen: str, left_out: str) -> None:
    run = collect(f"--set={chosen}", "tests/hosts", "tests/unit/test_layers.py")
    assert re.search(rf"NOT RUN: \d+ tests {re.escape(left_out)}", run.stdout), run.stdout


def test_without_an_engine_tests_are_left_out_and_ci_refuses_to() -> None:
    given = ("--set=gate", "tests/service/storage/test_races.py")
    run = collect(*given, PATH=NOWHERE)
    assert re.search(r"NOT RUN: \d+ tests of service: on an engine: .*make lab", run.stdout)
    assert "test_races" in run.stdout
    refused = collect(*given, PATH=NOWHERE, CI="true")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "CI leaves no test out, but there is no docker client" in refused.stderr


def test_without_a_browser_tests_are_left_out_and_ci_refuses_to() -> None:
    given = ("--set=gate", "tests/browser")
    run = collect(*given, PATH=NOWHERE)
    assert re.search(r"NOT RUN: \d+ tests of browser: in a browser: .*make lab", run.stdout)
    refused = collect(*given, PATH=NOWHERE, CI="true")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "CI leaves no test out, but there is no chromium" in refused.stderr


def test_ci_takes_a_skipped_test_for_a_failure(tmp_path: Path) -> None:
    test = tmp_path / "test_skipped.py"
    test.write_text("import pytest\n\ndef test_it():\n    pytest.skip('for no reason')\n")
    command = ["pytest", "-q", "-p", "tests.support.layers", "-p", "no:cacheprovider", str(test)]

    run = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "CI": "true"},
        timeout=120,
    )
    assert run.returncode == pytest.ExitCode.TESTS_FAILED

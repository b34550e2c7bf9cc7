"""`flask …` in the tests' own process: what it prints, and how it ends."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import simplejson
from click.testing import Result
from flask import Flask


def run(app: Flask, *arguments: str, typed: str = "") -> Result:
    """Run a command; `typed` is what somebody answers to its questions."""
    result: Result = app.test_cli_runner().invoke(args=arguments, input=typed)
    return result


def json_from(app: Flask, *arguments: str) -> Any:
    """Return what the command prints as JSON, in one line."""
    result = run(app, *arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1
    return simplejson.loads(result.stdout, parse_float=Decimal)


def table_from(app: Flask, *arguments: str) -> list[list[str]]:
    """Return the words of each line that the command prints."""
    result = run(app, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return [line.split() for line in result.stdout.splitlines()]


def fields_from(app: Flask, *arguments: str) -> dict[str, str]:
    """Return what the command prints as a table of two columns."""
    result = run(app, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    # Columns are two spaces apart, and texts have no two in a row.
    return dict(re.split(" {2,}", line, maxsplit=1) for line in result.stdout.splitlines()[1:])


def assert_fails(result: Result, *words: str) -> None:
    """Check that the command says in one line what is wrong."""
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr


def assert_wrong_usage(result: Result) -> None:
    """Check that the command refuses what it was given, and says how it is used."""
    assert result.exit_code == 2, result.output
    assert "Usage:" in result.stderr
    assert "Traceback" not in result.output

"""The real server does what the document says, whatever schemathesis thinks of.

What it cannot see, such as an order that is gone after its 201, others test. Each run tries other
requests; the seed in its output repeats them.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import migrate
from tests.support.service_process import BIN, REPOSITORY, Server

pytestmark = pytest.mark.slow

DOCUMENT = REPOSITORY / "service" / "web" / "openapi.json"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
SECONDS = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service as it is served, on SQLite."""
    directory: Path = tmp_path_factory.mktemp("server")
    url = f"sqlite:///{directory}/orders.db"
    migrate(url)
    with Server(directory, url, SIMULATE_MAX_MILLISECONDS=2) as started:
        yield started.start()


def run(
    server: Server, directory: Path, document: Path, *options: object
) -> subprocess.CompletedProcess[str]:
    """Have schemathesis try requests of the document."""
    arguments = [
        "run", document, "--url", f"http://127.0.0.1:{server.port}",
        "--auth", "admin:securepassword", "--checks", ",".join(CHECKS), "--no-color",
        "--request-timeout", 10, *options,
    ]  # fmt: skip
    # In a folder of its own: it keeps there what it has found.
    return subprocess.run(
        [BIN / "schemathesis", *map(str, arguments)],
        capture_output=True,
        check=False,
        cwd=directory,
        text=True,
        timeout=SECONDS,
    )


@pytest.mark.parametrize(
    ("accept", "phases"),
    [("*/*", "examples,coverage,fuzzing,stateful"), ("application/problem+json", "coverage")],
    ids=["JSON", "problems"],
)
def test_the_server_does_what_the_document_says(
    server: Server, tmp_path: Path, accept: str, phases: str
) -> None:
    seed = random.randrange(2**32)
    options = ("--max-examples", 30, "--phases", phases, "--header", f"Accept: {accept}")
    found = run(server, tmp_path, DOCUMENT, "--seed", seed, *options)
    print(f"schemathesis: seed {seed}, {found.stdout.partition('Test cases:')[2].strip()}")  # noqa: T201
    assert found.returncode == 0, found.stdout + found.stderr
    paths = json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"]
    assert f"Tested: {sum(map(len, paths.values()))}\n" in found.stdout
    assert "Traceback" not in server.log


def says_that_a_ping_is_text(document: dict[str, Any]) -> None:
    answer = document["paths"]["/ping"]["get"]["responses"]["200"]
    answer["content"] = {"text/plain": {}}


def says_nothing_of_a_refusal(document: dict[str, Any]) -> None:
    del document["paths"]["/processing/pause"]["post"]["responses"]["400"]


def says_that_ids_look_different(document: dict[str, Any]) -> None:
    document["components"]["headers"]["X-Request-ID"]["schema"]["pattern"] = "^none$"


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("/ping", says_that_a_ping_is_text),
        ("/processing/pause", says_nothing_of_a_refusal),
        ("/metrics", says_that_ids_look_different),
    ],
)
def test_a_document_that_says_something_else_is_noticed(
    server: Server, tmp_path: Path, path: str, change: Any
) -> None:
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    change(document)
    changed = tmp_path / "openapi.json"
    changed.write_text(json.dumps(document), encoding="utf-8")
    options = ("--include-path", path, "--phases", "coverage", "--max-failures", 1, "--no-shrink")
    found = run(server, tmp_path, changed, *options)
    assert found.returncode == 1, found.stdout

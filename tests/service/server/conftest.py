"""The service as it is served, for tests that need no settings of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import migrate
from tests.support.service_process import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service as it is served, on SQLite, without a processor."""
    directory: Path = tmp_path_factory.mktemp("server")
    url = f"sqlite:///{directory}/orders.db"
    migrate(url)
    with Server(directory, url, PROCESSOR_THREADS=0) as started:
        yield started.start()

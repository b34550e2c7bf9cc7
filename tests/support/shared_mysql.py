"""The MySQL server of all tests that leave it running. It starts beside the first tests."""

from __future__ import annotations

import pytest

from tests.support.mysql_server import MySQLServer

_server = pytest.StashKey[MySQLServer]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to start the server where tests that need it were chosen."""
    needed = any(item.get_closest_marker("mysql") for item in session.items)
    if needed and not session.config.option.collectonly:
        session.config.stash[_server] = MySQLServer.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the server."""
    if server := config.stash.get(_server, None):
        server.close()


@pytest.fixture(scope="session")
def mysql_server(request: pytest.FixtureRequest) -> MySQLServer:
    """A MySQL server for all tests that leave it running. They are marked with `mysql`."""
    server = request.config.stash[_server]
    server.wait_until_ready()
    return server

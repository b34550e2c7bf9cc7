"""One group of three MySQL servers, and the service on it, for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.databases import migrate
from tests.support.group_shop import Shop, url_of
from tests.support.mysql_group import MySQLGroup


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A web server and a worker on a group."""
    with MySQLGroup.start(tmp_path_factory.mktemp("group")) as group:
        # Migrations find the one that takes writes, wherever it stands in the list.
        group.make_primary(group.members[-1])
        migrate(url_of(group, "migrator"))
        made = Shop(group, tmp_path_factory.mktemp("shop"))
        try:
            made.start()
            yield made
        finally:
            made.close()

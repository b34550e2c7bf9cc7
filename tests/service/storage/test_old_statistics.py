"""MySQL's statistics of a table may be old: what a statement locks then."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, make_url

from service.storage.claims import claim_orders
from service.storage.completions import complete_all
from service.storage.results import Result, Verdict
from tests.support.inspection import Store
from tests.support.mysql_server import MySQLServer
from tests.support.plans import SCAN, MySQLPlans
from tests.support.statements import statements
from tests.support.states import TRUSTING


@pytest.mark.mysql
def test_old_statistics_lock_no_order_that_is_not_meant(
    mysql_url: str, mysql_store: Store, mysql_server: MySQLServer
) -> None:
    """A table that is taken for tiny is read as a whole, and what is read for an update is locked:
    the orders that others are completing among them."""
    mysql_store.empty()
    mysql_store.add_orders(range(1, 200))
    name = make_url(mysql_url).database
    for statement in (
        "UPDATE mysql.innodb_table_stats SET n_rows = 1, clustered_index_size = 1"
        f" WHERE database_name = '{name}' AND table_name = 'orders'",
        "UPDATE mysql.innodb_index_stats SET stat_value = 1 WHERE stat_name LIKE 'n_diff%'"
        f" AND database_name = '{name}' AND table_name = 'orders'",
        f"FLUSH TABLES {name}.orders",
    ):
        mysql_server.query(statement)
    plans = MySQLPlans(mysql_server)

    def claim_and_complete(connection: Connection) -> list[set[str]]:
        with statements(mysql_store.database.engine) as sent:
            claimed = claim_orders(
                connection,
                owner="a",
                limit=50,
                lease_seconds=60,
                max_attempts=5,
                idle=True,
                rule=TRUSTING,
            ).claims
            complete_all(connection, [Result(each, Verdict.COMPLETE) for each in claimed], slot=0)
        return [plans.indexes(connection, one) for one in sent if one.verb != "EXPLAIN"]

    found = mysql_store.run(claim_and_complete)
    assert SCAN not in set().union(*found), found

"""What the statements about events cost, however many events are stored or wait."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from service.storage.deliveries import Delivery, look_at_events, record_deliveries, take_events
from service.storage.event_upkeep import (
    bring_back_from_before_a_jump,
    delete_delivered,
    find_forgotten,
    read_figures,
)
from service.storage.events import list_events, resend
from service.storage.results import Verdict
from tests.support.databases import ONLY_MYSQL
from tests.support.inspection import Store
from tests.support.mysql_server import MySQLServer
from tests.support.plans import MySQLPlans, Work
from tests.support.statements import statements
from tests.support.stored_events import end_orders

STORED = 20_000
FILL = """
INSERT INTO events (message_id, type, order_id, user_id, order_attempts, state, due_at, created_at,
                    updated_at, delivered_at)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :stored)
SELECT CONCAT('msg_', n), 'order.completed', n, 1, 1,
       CASE WHEN n <= 20 THEN 'Failed' WHEN n % 1000 = 0 THEN 'Waiting' ELSE 'Delivered' END,
       CASE WHEN n > 20 THEN UTC_TIMESTAMP(6) + INTERVAL (n % 1000) DAY END,
       UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)
FROM numbers
"""


@ONLY_MYSQL
def test_each_statement_goes_by_its_index(store: Store, mysql_server: MySQLServer) -> None:
    plans = MySQLPlans(mysql_server)

    def fill(connection: Any) -> None:
        connection.execute(text("SET SESSION cte_max_recursion_depth = 1000000"))
        connection.execute(text(FILL), {"stored": STORED})

    end_orders(store, range(1, 4))
    store.run(fill)
    store.run(lambda its: its.execute(text("ANALYZE TABLE events")))
    [held] = store.run(lambda its: take_events(its, "a", 1))
    work = {
        "look": look_at_events,
        "take": lambda its: take_events(its, "a", 20),
        "record": lambda its: record_deliveries(its, [Delivery(held, Verdict.COMPLETE, 200)], "a"),
        "resend": lambda its: resend(its, [held.id]),
        "forget": lambda its: find_forgotten(its, 20),
        "delete": lambda its: delete_delivered(its, [held.id]),
        "figures": read_figures,
        "failed": lambda its: list_events(its, limit=20, state="Failed"),
        "waiting": lambda its: list_events(its, limit=20, state="Waiting"),
        "of an order": lambda its: list_events(its, limit=20, order_id=7),
        "newest": lambda its: list_events(its, limit=20),
    }
    with store.database.connect() as connection:
        for name, one in work.items():
            connection.exec_driver_sql("BEGIN")
            with statements(store.database.engine) as sent:
                cost = plans.cost(connection, one)
            found = set[str]().union(*(plans.indexes(connection, each) for each in sent))
            connection.exec_driver_sql("ROLLBACK")
            assert cost < STORED / 50, f"{name} reads {cost} rows"
            assert "a scan" not in found, name
            assert "a sort" not in found, name


@ONLY_MYSQL
def test_a_turn_reads_no_more_however_many_wait(store: Store) -> None:
    end_orders(store, range(1, 2001))
    work: dict[str, Work] = {
        "look": look_at_events,
        "take": lambda its: take_events(its, "a", 20),
        "follow": lambda its: bring_back_from_before_a_jump(its, 0, 20),
    }
    with store.database.connect() as connection:
        # As with a table that is larger than the memory: read ahead wherever that is possible.
        connection.exec_driver_sql("SET SESSION optimizer_switch = 'mrr_cost_based=off'")

        def rows_read() -> int:
            found = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read_next'")
            return int(found.one()[1])

        for name, one in work.items():
            connection.exec_driver_sql("BEGIN")
            before = rows_read()
            one(connection)
            read = rows_read() - before
            connection.exec_driver_sql("ROLLBACK")
            assert read < 200, f"{name} reads {read} rows"
        connection.invalidate()

"""Celery on Redis, as fast as it is told to be: no results are kept, and messages are
acknowledged before the task runs, so a killed worker loses what it has fetched.

`python -m bench.peers.celery_app NUMBER` queues that many tasks.
"""

from __future__ import annotations

import os
import sys

from celery import Celery

app = Celery("peer", broker=os.environ["BROKER_URL"])
app.conf.update(
    task_ignore_result=True,
    # Fetches more tasks at once, as Celery's guide advises for short ones.
    worker_prefetch_multiplier=128,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task
def process_order(order_id: int) -> None:
    """Do nothing."""


if __name__ == "__main__":
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(int(sys.argv[1])):
            process_order.apply_async((number,), producer=producer)

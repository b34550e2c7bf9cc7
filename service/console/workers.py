"""The processors that live, and what they work on."""

from __future__ import annotations

from collections import Counter

from flask import Response

from service.console.site import blueprint, page
from service.runtime import runtime
from service.storage.browsing import OLDEST_CLAIMABLE, orders_in_work
from service.storage.fleet import read_fleet
from service.storage.processors import list_alive
from service.web.auth import Scope, needs

MOST_PROCESSORS, MOST_ORDERS = 200, 200


@blueprint.get("/workers")
@needs(Scope.ORDERS_READ)
def list_workers() -> Response:
    """Show the processors that live, and the orders in work."""
    read = runtime().read
    in_work = read(orders_in_work)
    return page(
        "workers.html",
        fleet=read(read_fleet),
        processors=read(lambda its: list_alive(its, MOST_PROCESSORS)),
        busy=Counter(order.lease_owner for order in in_work),
        orders=in_work[:MOST_ORDERS],
        in_work=len(in_work),
        looked_at=OLDEST_CLAIMABLE,
    )

"""A group of three MySQL servers replaces its primary by itself, under 50 orders a second: how long
none is accepted, and that none that was is lost.

How fast the servers are is MySQL's business, and the limits are far above what was measured.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.group_shop import Shop
from tests.support.mysql_member import Member

pytestmark = [pytest.mark.slow, pytest.mark.mysql]

# Seconds without an accepted order. Measured on two cores: 0.2 and 7.
PLANNED, FAILOVER = 5.0, 20.0


def test_a_planned_change_costs_hardly_a_request(shop: Shop) -> None:
    successor = shop.group.secondaries()[0]
    with shop.load() as load:
        shop.group.make_primary(successor)
    assert shop.group.primary() is successor
    shop.assert_all_well(load, PLANNED)


@pytest.mark.parametrize(
    ("lose", "bring_back"),
    [
        pytest.param(Member.kill, None, id="killed"),
        pytest.param(Member.freeze, Member.thaw, id="frozen"),
        pytest.param(Member.cut, Member.mend, id="cut-off", marks=pytest.mark.extended),
    ],
)
def test_a_primary_that_is_lost_is_replaced_and_comes_back(
    shop: Shop,
    lose: Callable[[Member], None],
    bring_back: Callable[[Member], None] | None,
) -> None:
    former = shop.group.primary()
    with shop.load() as load:
        lose(former)
        shop.replaced(load, former)
        if bring_back is not None:
            bring_back(former)
    shop.assert_all_are_back()
    shop.assert_all_well(load, FAILOVER)

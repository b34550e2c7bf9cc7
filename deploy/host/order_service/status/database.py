"""The servers that several hosts share as a group, as the one on this host sees them."""

from __future__ import annotations

from collections.abc import Iterator

from order_service.database import members
from order_service.status.line import Line


def group() -> Iterator[Line]:
    """Tell which one takes the writes, and which ones are not at work."""
    if not members.is_group():
        return
    own = members.own()
    if not own.works:
        yield Line("database", f"this host's server is {own.state} in its group", good=False)
        return
    seen = {one.address: one for one in own.view}
    for address in members.addresses():
        one = seen.get(address)
        state = f"{one.state}, {one.role}" if one else "not in the group"
        good = one is not None and one.state == members.ONLINE
        yield Line("database", f"{address} is {state}", good=good, subject="" if good else address)

"""The servers that several hosts share as a group, as the one on this host sees them."""

from __future__ import annotations

from collections.abc import Iterator

from order_service.backup import group
from order_service.backup.settings import PATH, load
from order_service.dotenv import database_servers
from order_service.status.line import Line


def members() -> Iterator[Line]:
    """Tell which one takes the writes, and which ones are not at work."""
    if not group.is_one():
        return
    found = group.members(load(PATH))
    own = next((member for member in found if member.here), None)
    if own is None or own.state != group.ONLINE:
        state = own.state if own else "OFFLINE"
        yield Line("database", f"this host's server is {state} in its group", good=False)
        return
    seen = {member.host: member for member in found}
    for host in (server.rpartition(":")[0] for server in database_servers()):
        member = seen.get(host)
        state = f"{member.state}, {member.role}" if member else "not in the group"
        good = member is not None and member.state == group.ONLINE
        yield Line("database", f"{host} is {state}", good=good, subject="" if good else host)

"""MySQL's members where several hosts run one as a group: who makes the full backups, who writes.

Each member has all transactions, and copies its own binary logs. One of them makes the full
backups, so that it is not the one that takes the writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from order_service.backup.mysql_session import Server
from order_service.backup.settings import BackupError, Settings
from order_service.dotenv import database_servers

_MEMBERS = (
    "SELECT MEMBER_ID, MEMBER_HOST, MEMBER_STATE, MEMBER_ROLE, MEMBER_ID = @@server_uuid"
    " FROM performance_schema.replication_group_members ORDER BY MEMBER_ID"
)
_ONLINE, _PRIMARY = "ONLINE", "PRIMARY"


@dataclass(frozen=True)
class Member:
    """A member, as this host's server sees it; `host` is the address of its host."""

    host: str
    state: str
    role: str
    here: bool


def is_one() -> bool:
    """Return whether this host's MySQL is to be a member of a group."""
    return len(database_servers()) > 1


def makes_backups(settings: Settings) -> str | None:
    """Return the host that makes the full backups in the place of this one; None if this one does.

    That is the first of the secondaries by their ids, so all members find the same one.

    Raises:
        BackupError: this host's server is not at work in its group.
    """
    if not is_one():
        return None
    members = _members(settings)
    own = [member for member in members if member.here]
    if not own or own[0].state != _ONLINE:
        state = own[0].state if own else "OFFLINE"
        raise BackupError(
            f"this host's MySQL is {state} in its group, and may lack orders: the other members"
            " make the backups; database.yml brings it back"
        )
    online = [member for member in members if member.state == _ONLINE]
    chosen = next((member for member in online if member.role != _PRIMARY), own[0])
    return None if chosen.here else chosen.host


def writer(settings: Settings) -> str | None:
    """Return the host whose server takes the writes; None if it is this one.

    Raises:
        BackupError: no member does.
    """
    if not is_one():
        return None
    found = next((one for one in _members(settings) if one.role == _PRIMARY), None)
    if found is None or found.state != _ONLINE:
        raise BackupError("no member of the group takes writes; see database.yml")
    return None if found.here else found.host


def _members(settings: Settings) -> list[Member]:
    rows = Server(settings.container, "root").query(_MEMBERS)
    return [Member(host, state, role, here == "1") for _, host, state, role, here in rows]

"""Has this host's MySQL be what other hosts expect of it, once its container runs."""

from __future__ import annotations

from order_service.database import group, members
from order_service.dotenv import DATABASE, database_servers, has_part, head
from order_service.secrets import database_accounts


def bring() -> set[str]:
    """Have the server at work in its group, if it is to be in one, and the accounts in place.

    Where MySQL is this host's alone, its accounts come with its start. Returns what was changed.

    Raises:
        CommandError: it failed; the text says why.
    """
    if not (database_servers() and has_part(DATABASE)):
        return set()
    database_accounts.wait()
    changed = members.is_group() and group.bring()
    if not head():
        database_accounts.apply()
    return {"group"} if changed else set()


def hand_over() -> None:
    """Have another member of the group take the writes before this host's MySQL is stopped.

    Raises:
        CommandError: there is none that could.
    """
    if members.is_group() and has_part(DATABASE) and database_accounts.is_running():
        group.hand_over()

"""Has this host's MySQL be what other hosts expect of it, once its container runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from order_service.database import decisions, group, members
from order_service.dotenv import DATABASE, database_servers, has_part, head
from order_service.host import CommandError, try_run
from order_service.secrets import database_accounts, secret_files

# MySQL's volume.
DATA = "order-service_mysql-data"


def check(handed: Mapping[str, Any] | None) -> None:
    """Keep the passwords of a MySQL that this host has had for itself, and that joins no others.

    Args:
        handed: what the head has handed on, before it is taken.

    Raises:
        CommandError: they would be replaced.
    """
    passwords = (handed or {}).get("mysql", {})
    if not has_part(DATABASE) or "root_password" not in passwords or decisions.RECORD.exists():
        return
    if try_run(["docker", "volume", "inspect", DATA]).returncode != 0:
        return
    own = secret_files.text("root_password", secret_files.MYSQL_VOLUME)
    if own and own != passwords["root_password"].strip():
        raise CommandError(
            f"this host has a MySQL of its own, whose passwords {head()}'s would replace, and whose"
            " data cannot join the others'. Once you need them no more:"
            f" sudo docker rm --force {database_accounts.CONTAINER};"
            f" sudo docker volume rm {DATA}; and deploy again"
        )


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

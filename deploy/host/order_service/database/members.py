"""The members of MySQL's group, as they tell about themselves.

This host's server is asked as root, the others as `admin` over TLS: MySQL's client in this host's
container does both, so no password passes through here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from order_service.backup.gtids import Gtids
from order_service.dotenv import database_servers, dotenv
from order_service.host import CommandError, say, try_run

CONTAINER = "order-service-mysql-1"
ONLINE, RECOVERING, PRIMARY = "ONLINE", "RECOVERING", "PRIMARY"
CONNECT_SECONDS = 5
ASK_SECONDS = 30
EVERY_SECONDS = 0.5
# Of MySQL's client: nobody listens at that address (111 is ECONNREFUSED).
_NOBODY = "ERROR 2003", "(111)"
# What has been received is on the disk, whether or not it has been executed.
_ITSELF = """SELECT @@server_uuid, IFNULL(@@group_replication_group_name, ''),
 @@GLOBAL.gtid_executed,
 (SELECT IFNULL(MAX(RECEIVED_TRANSACTION_SET), '')
  FROM performance_schema.replication_connection_status
  WHERE CHANNEL_NAME = 'group_replication_applier'),
 (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'orders')"""
_VIEW = """SELECT MEMBER_ID, MEMBER_HOST, MEMBER_STATE, MEMBER_ROLE, MEMBER_VERSION
 FROM performance_schema.replication_group_members"""
_FIELDS = 5


@dataclass(frozen=True)
class Seen:
    """A member, as one of them sees it."""

    identity: str
    address: str
    state: str
    role: str
    version: str


@dataclass(frozen=True)
class Member:
    """A server of DATABASE_SERVERS, as far as it answers."""

    address: str
    # Why it tells nothing; empty if it does.
    silent: str = ""
    # Whether there is no server at that address: its host says so.
    absent: bool = False
    identity: str = ""
    # The name of the group that it belongs to; empty if it has never been in one.
    group: str = ""
    transactions: Gtids = field(default_factory=Gtids)
    # Whether the service has tables there.
    has_tables: bool = False
    view: tuple[Seen, ...] = ()

    @property
    def state(self) -> str:
        """How it is in its group, in MySQL's words."""
        return next((one.state for one in self.view if one.identity == self.identity), "OFFLINE")

    @property
    def online(self) -> list[Seen]:
        """Those that are at work, as this one sees it."""
        return [one for one in self.view if one.state == ONLINE]

    @property
    def works(self) -> bool:
        """Whether it is at work, together with a majority: who recovers is one of it."""
        reached = sum(one.state in (ONLINE, RECOVERING) for one in self.view)
        return self.state == ONLINE and 2 * reached > len(self.view)

    @property
    def primary(self) -> Seen | None:
        """The member that takes writes, if this one is at work."""
        writers = [one for one in self.online if one.role == PRIMARY]
        return writers[0] if self.works and writers else None

    @property
    def is_primary(self) -> bool:
        """Whether it takes the writes itself."""
        return self.primary is not None and self.primary.identity == self.identity


def is_group() -> bool:
    """Return whether this host's server is to be one of several."""
    return len(database_servers()) > 1


def addresses() -> list[str]:
    """Return the addresses of all servers, as the inventory has them."""
    return [server.rpartition(":")[0] for server in database_servers()]


def here() -> str:
    """Return this host's own."""
    return dotenv().get("PRIVATE_ADDRESS", "")


def survey() -> list[Member]:
    """Ask all members; they are in the inventory's order."""
    return [look(address) for address in addresses()]


def own() -> Member:
    """Ask this host's server.

    Raises:
        CommandError: it does not answer.
    """
    member = look(here())
    if member.silent:
        raise CommandError(f"this host's MySQL does not answer: {member.silent}")
    return member


def look(address: str) -> Member:
    """Ask one server how it is."""
    try:
        rows = ask(f"{_ITSELF}; {_VIEW}", address)
    except CommandError as problem:
        said = str(problem)
        return Member(address, silent=said, absent=all(part in said for part in _NOBODY))
    identity, group, executed, received, tables = rows[0]
    return Member(
        address=address,
        identity=identity,
        group=group,
        transactions=Gtids.parse(executed) | Gtids.parse(received),
        has_tables=tables != "0",
        view=tuple(Seen(*row) for row in rows[1:] if len(row) == _FIELDS),
    )


def ask(statements: str, address: str = "", seconds: float = ASK_SECONDS) -> list[list[str]]:
    """Have a server do something, this host's unless told else; return the rows of its answer.

    Raises:
        CommandError: it cannot be reached, or refuses.
    """
    elsewhere = address not in ("", here())
    client = ["mysql", f"--defaults-extra-file=/run/secrets/{'admin' if elsewhere else 'root'}.cnf"]
    client += [f"--connect-timeout={CONNECT_SECONDS}", "--batch", "--skip-column-names"]
    client += [f"--host={address}"] if elsewhere else []
    command = ["docker", "exec", CONTAINER, *client, f"--execute={statements}"]
    done = try_run(command, seconds=seconds)
    if done.returncode != 0:
        raise CommandError(done.stderr.strip() or f"MySQL's client ended with {done.returncode}")
    return [line.split("\t") for line in done.stdout.splitlines()]


def wait(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until it is done.

    Raises:
        CommandError: it was not within that time.
    """
    began = time.monotonic()
    told = 0
    while not done():
        passed = time.monotonic() - began
        if passed > seconds:
            raise CommandError(
                f"{what}: not within {seconds:.0f} s; see sudo docker logs {CONTAINER}"
            )
        if passed // 30 > told:
            told = int(passed // 30)
            say(f"{what}: for {passed:.0f} s")
        time.sleep(EVERY_SECONDS)

"""A MySQL server for the time of a restore: no network, no port, and gone afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from order_service.backup import external
from order_service.backup.binlog_events import transactions
from order_service.backup.files import unpack, unpack_to
from order_service.backup.mysql_session import Server
from order_service.backup.settings import BackupError, Settings
from order_service.backup.store import Copy, Manifest, Store
from order_service.backup.table_digests import Digest, differences, digests
from order_service.host import CommandError, run, try_run

NAME = "order-service-scratch"
START_SECONDS = 180
REPLAY_SECONDS = 3600
_ACCOUNT = "restore"
_DATA = "/var/lib/mysql"
_CONTAINER = (
    "--network=none",
    "--init",
    "--env=MYSQL_ALLOW_EMPTY_PASSWORD=yes",
    # No statement of a backup names a time zone, and loading them takes ten seconds.
    "--env=MYSQL_INITDB_SKIP_TZINFO=1",
    "--security-opt=no-new-privileges",
    "--log-opt=max-size=10m",
    # Where memory runs out, the kernel ends this one first.
    "--oom-score-adj=1000",
)
# Nothing of it has to survive a crash. The binary logs of the original are put in its relay log,
# and its applier runs them: the way of the server itself, without mysqlbinlog.
_OPTIONS = (
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=OFF",
    "--innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=128M",
    "--performance-schema=OFF",
    "--mysqlx=OFF",
    "--max-allowed-packet=1G",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--server-id=4294967295",
    "--skip-replica-start",
    "--relay-log=relay",
    "--relay-log-index=relay.index",
    "--relay-log-purge=OFF",
    "--relay-log-recovery=OFF",
    # Accounts are not in the backup, so statements about them fail: no such account, no such grant.
    "--replica-skip-errors=1133,1141,1396",
    "--character-set-server=utf8mb4",
    "--default-time-zone=+00:00",
)


@contextmanager
def scratch(settings: Settings) -> Iterator[Scratch]:
    """Start a scratch server, and remove it at the end, whatever happens.

    Raises:
        BackupError: it did not start.
    """
    remove()
    try:
        what = (external.image(settings), *_OPTIONS)
        limits = (*_CONTAINER, f"--memory={settings.scratch_memory}")
        run(["docker", "run", "--detach", f"--name={NAME}", *limits, *what])
        _wait_until_up()
        yield Scratch(settings)
    finally:
        remove()


def remove() -> None:
    """Remove the scratch server and its data; also one that an interrupted run left."""
    try_run(["docker", "rm", "--force", "--volumes", NAME])


def docker_folder() -> Path:
    """Return where Docker keeps the scratch server's data."""
    return Path(run(["docker", "info", "--format", "{{.DockerRootDir}}"]).strip())


@dataclass(frozen=True)
class Scratch:
    """A running scratch server."""

    settings: Settings

    @property
    def server(self) -> Server:
        """The server, as an account that no replayed statement knows."""
        return Server(NAME, _ACCOUNT)

    def load(self, store: Store, manifest: Manifest, identity: Path | None) -> dict[str, Digest]:
        """Load a backup's dump, compare what came of it with what was recorded, and return it.

        Raises:
            BackupError: it is damaged, or not what was recorded.
        """
        schema = manifest["database"]
        self.server.query(f"CREATE DATABASE `{schema}` CHARACTER SET utf8mb4")
        self.server.query("RESET BINARY LOGS AND GTIDS")
        self.server.query(f"SET GLOBAL gtid_purged = '{manifest['gtid_executed']}'")
        unpack(store.dump(manifest), self.server.command("mysql", schema), identity)
        found = self.digests(schema)
        if problems := differences(manifest["tables"], found):
            raise BackupError(
                f"the backup {manifest['id']} does not restore to what was recorded:"
                f" {'; '.join(problems)}; use another backup"
            )
        return found

    def digests(self, schema: str) -> dict[str, Digest]:
        """Return the digests of the tables as they are now."""
        with self.server.session() as session:
            return digests(session, schema)

    def replay(
        self,
        store: Store,
        copies: list[Copy],
        identity: Path | None,
        until: datetime | None,
        workspace: Path,
    ) -> datetime | None:
        """Run what was committed after the dump, up to the moment; return the last commit's time.

        What the dump has already is known by its GTIDs and left out.

        Raises:
            BackupError: a log is damaged, or the server refused one of its statements.
        """
        last: tuple[int, int, datetime] | None = None
        for number, copy in enumerate(copies, start=1):
            plain = workspace / "binlog"
            unpack_to(store.copy_path(copy), plain, identity)
            over = False
            for transaction in transactions(plain):
                over = until is not None and transaction.committed >= until
                if over:
                    break
                last = (number, transaction.end, transaction.committed)
            self._add_relay_log(plain, number)
            plain.unlink()
            if over:
                break
        if last is None:
            return None
        number, end, committed = last
        self.server.query(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'none',"
            f" RELAY_LOG_FILE = '{_relay_log(1)}', RELAY_LOG_POS = 4"
        )
        self.server.query(
            "START REPLICA SQL_THREAD UNTIL"
            f" RELAY_LOG_FILE = '{_relay_log(number)}', RELAY_LOG_POS = {end}"
        )
        self._wait_for_applier()
        return committed

    def _add_relay_log(self, plain: Path, number: int) -> None:
        name = _relay_log(number)
        run(["docker", "cp", str(plain), f"{NAME}:{_DATA}/{name}"], seconds=600)
        add = f"cd {_DATA} && echo ./{name} >> relay.index && chown mysql: {name} relay.index"
        run(["docker", "exec", "--user=root", NAME, "sh", "-c", add])

    def _wait_for_applier(self) -> None:
        deadline, pause = time.monotonic() + REPLAY_SECONDS, 0.1
        show = ["mysql", "--vertical", "--execute=SHOW REPLICA STATUS"]
        while True:
            lines = run(self.server.command(show[0], *show[1:])).splitlines()
            pairs = (line.strip().partition(":") for line in lines)
            status = {name: value.strip() for name, _, value in pairs}
            if status["Replica_SQL_Running"] == "No":
                break
            if time.monotonic() > deadline:
                raise BackupError(f"the binary logs were not replayed in {REPLAY_SECONDS} s")
            time.sleep(pause)
            pause = min(2 * pause, 2)
        if problem := status.get("Last_SQL_Error"):
            raise BackupError(f"the binary logs could not be replayed: {problem}")


def _relay_log(number: int) -> str:
    return f"relay.{number:06}"


def _wait_until_up() -> None:
    """Wait for the server that has networking: the one that initialises the data has not."""
    ask = ["docker", "exec", NAME, "mysql", "--user=root", "--protocol=socket"]
    deadline = time.monotonic() + START_SECONDS
    while True:
        asked = try_run([*ask, "--skip-column-names", "--execute=SELECT @@skip_networking"])
        if asked.returncode == 0 and asked.stdout.strip() == "0":
            break
        if time.monotonic() > deadline or not _running():
            logs = try_run(["docker", "logs", "--tail=5", NAME])
            raise BackupError(f"the scratch server did not start: {logs.stdout}{logs.stderr}")
        time.sleep(0.5)
    make = f"CREATE USER {_ACCOUNT}@localhost; GRANT ALL ON *.* TO {_ACCOUNT}@localhost"
    run([*ask, f"--execute={make}"])


def _running() -> bool:
    try:
        return run(["docker", "inspect", "--format={{.State.Running}}", NAME]).strip() == "true"
    except CommandError:
        return False

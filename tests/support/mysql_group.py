"""Three real MySQL servers as one group, as three database hosts have them: with the project's own
configuration, over TLS, each in a container with an address that this machine reaches."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pymysql
from order_service.certificates import authority

from tests.support.docker import DockerError, docker
from tests.support.mysql_member import PORT, Member
from tests.support.mysql_server import IMAGE, START_SECONDS
from tests.support.polling import wait_until
from tests.support.service_process import REPOSITORY

MYSQL = REPOSITORY / "deploy" / "mysql"
ONLINE_SECONDS = 90.0
TRIES = 20
MEMBERS = (
    "SELECT MEMBER_HOST, MEMBER_STATE, MEMBER_ROLE"
    " FROM performance_schema.replication_group_members"
)


class MySQLGroup:
    """Three members in a network of their own, and what their clients need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = f"orders-group-{secrets.token_hex(4)}"
        subnet = self._make_network()
        self.members = [
            Member(f"{self.network}-{number}", str(subnet[10 + number]), folder / f"tls-{number}")
            for number in (1, 2, 3)
        ]
        self._make_secrets()
        self._issue()

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start three members and have them be a group, with the stack's accounts; some 25 s."""
        group = cls(folder)
        try:
            group.create()
            group.begin()
        except BaseException:
            group.close()
            raise
        return group

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def servers(self) -> list[str]:
        """The `address:port` of each member."""
        return [member.server for member in self.members]

    @property
    def authority(self) -> Path:
        """The certificate that clients verify the members with."""
        return self.folder / "ca.crt"

    def password(self, account: str) -> str:
        """Return the password of one of the stack's accounts."""
        return self._secret(f"{account}_password")

    def connect(
        self, member: Member, account: str = "service", **options: Any
    ) -> pymysql.connections.Connection[pymysql.cursors.Cursor]:
        """Log in from outside, as the service does."""
        return pymysql.connect(
            **{
                "host": member.address,
                "port": PORT,
                "user": account,
                "password": self.password(account),
                "database": "orders",
                "ssl_ca": str(self.authority),
                "ssl_verify_identity": True,
                "connect_timeout": 5,
                "read_timeout": 10,
                "autocommit": True,
                **options,
            }
        )

    def primary(self) -> Member:
        """Return the member that takes writes, as a majority sees it; waits for an election."""
        found = wait_until(self._primary, ONLINE_SECONDS, "a primary", every=0.2)
        assert found
        return found

    def secondaries(self) -> list[Member]:
        """Return the others."""
        primary = self.primary()
        return [member for member in self.members if member is not primary]

    def _primary(self) -> Member | None:
        for member in self.members:
            with suppress(DockerError):
                rows = member.query(f"{MEMBERS} WHERE MEMBER_STATE = 'ONLINE'")
                for host, _, role in rows:
                    if role == "PRIMARY" and len(rows) > 1:
                        return next(one for one in self.members if one.address == host)
        return None

    def online(self, member: Member | None = None) -> int:
        """Return how many members are at work, as this one sees it, or the first."""
        with suppress(DockerError):
            return sum(row[1] == "ONLINE" for row in (member or self.members[0]).query(MEMBERS))
        return 0

    def wait_until_online(self, count: int = 3, member: Member | None = None) -> None:
        """Wait until so many members are at work."""
        what = f"{count} members at work"
        wait_until(lambda: self.online(member) == count, ONLINE_SECONDS, what, every=0.2)

    def make_primary(self, member: Member) -> None:
        """Change the primary in good order."""
        [[identity]] = member.query("SELECT @@server_uuid")
        member.query(f"SELECT group_replication_set_as_primary('{identity}')")

    def create(self) -> None:
        """Start three servers that know of no group yet; about 15 s."""
        for member in self.members:
            self.run(member)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.wait_until_up, self.members))

    def run(self, member: Member) -> None:
        """Make a member's container, on fresh data."""
        secret_files = self.folder / "volumes" / "mysql"
        mounts = {
            secret_files: "/run/secrets",
            member.folder: "/run/tls",
            MYSQL / "shared.sh": "/opt/order-service/mysqld",
            MYSQL / "group.cnf": "/opt/order-service/group.cnf",
            MYSQL / "order-service.cnf": "/etc/mysql/conf.d/order-service.cnf",
            MYSQL / "shared.cnf": "/etc/mysql/conf.d/shared.cnf",
        }
        docker(
            "run",
            "--detach",
            "--init",
            "--restart=unless-stopped",
            "--memory=768m",
            f"--name={member.name}",
            f"--network={self.network}",
            f"--ip={member.address}",
            *(f"--volume={source}:{target}:ro" for source, target in mounts.items()),
            "--env=MYSQL_ROOT_PASSWORD_FILE=/run/secrets/root_password",
            "--env=MYSQL_ROOT_HOST=localhost",
            "--env=PATH=/opt/order-service:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            f"--env=PRIVATE_ADDRESS={member.address}",
            f"--env=DATABASE_SERVERS={','.join(self.servers)}",
            IMAGE,
        )

    def wait_until_up(self, member: Member) -> None:
        """Wait until a member takes connections; the server that prepares its data does not."""

        def answers() -> bool:
            client = ["mysqladmin", "--host=127.0.0.1", "--protocol=tcp", "ping"]
            with suppress(DockerError):
                docker("exec", member.name, *client)
                return True
            return False

        try:
            wait_until(answers, 2 * START_SECONDS, f"{member.name} takes connections", every=0.2)
        except AssertionError as late:
            raise DockerError(f"{late}: {docker('logs', member.name, errors_too=True)}") from None

    def begin(self) -> None:
        """Make a group of three servers that know of none, and the stack's accounts in it."""
        bootstrap = "SET GLOBAL group_replication_bootstrap_group = {}"
        begin = (bootstrap.format("ON"), "START GROUP_REPLICATION", bootstrap.format("OFF"))
        prepare = (
            self._secret("users.live.sql"),
            "RESET BINARY LOGS AND GTIDS",
            self._secret("recovery.sql"),
            f"SET PERSIST group_replication_group_name = '{uuid4()}'",
            "SET PERSIST_ONLY group_replication_start_on_boot = ON",
            "SET PERSIST_ONLY super_read_only = ON",
        )
        first, *others = self.members
        for member in self.members:
            self._tell(member, prepare)
        self._tell(first, begin)
        for member in others:
            self._tell(member, ["START GROUP_REPLICATION"])
        self.wait_until_online()

    def close(self) -> None:
        """Remove the members and their network."""
        for member in self.members:
            with suppress(DockerError):
                member.thaw()
            with suppress(DockerError):
                docker("rm", "--force", "--volumes", member.name)
        docker("network", "rm", self.network)

    def _make_network(self) -> IPv4Network:
        """Make a network of a subnet that nobody has: in others one cannot ask for addresses."""
        for _ in range(TRIES):
            subnet = IPv4Network(f"10.{random.randint(100, 250)}.{random.randint(0, 255)}.0/24")
            with suppress(DockerError):
                docker("network", "create", f"--subnet={subnet}", self.network)
                return subnet
        raise DockerError(f"no subnet is free in {TRIES} tries; see: docker network ls")

    def _tell(self, member: Member, statements: Sequence[str]) -> None:
        member.query(";\n".join(statements))

    def _secret(self, name: str) -> str:
        return (self.folder / "volumes" / "mysql" / name).read_text().rstrip(";\n")

    def _make_secrets(self) -> None:
        volumes = self.folder / "volumes"
        for name in ("mysql", "migrate", "service"):
            (volumes / name).mkdir(parents=True)
        program = REPOSITORY / "deploy" / "secrets" / "make_secrets.py"
        environment = {
            "VOLUMES": str(volumes),
            "MYSQL_GROUP": str(os.getgid()),
            "DATABASE_SERVERS": ",".join(self.servers),
        }
        subprocess.run(
            [sys.executable, program], check=True, env=os.environ | environment, timeout=60
        )
        _open_to_all(volumes / "mysql")

    def _issue(self) -> None:
        issuer = authority.make()
        self.authority.write_bytes(issuer.certificate_pem)
        for member in self.members:
            member.folder.mkdir()
            certificate, key = issuer.issue([member.address, "mysql", "localhost"], mutual=True)
            (member.folder / "ca.crt").write_bytes(issuer.certificate_pem)
            (member.folder / "server.pem").write_bytes(certificate)
            (member.folder / "server.key").write_bytes(key)
            _open_to_all(member.folder)


def _open_to_all(folder: Path) -> None:
    """Have the containers' users read what is the tests' alone."""
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o444)

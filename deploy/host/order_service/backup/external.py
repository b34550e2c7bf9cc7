"""A MySQL that somebody else runs: reached over the network by a client of our own.

The client runs in a container of the image that the stack's MySQL would have. Its password is in a
file that root alone reads: neither a command line nor an environment has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from order_service.backup.mysql_session import Server
from order_service.backup.settings import BackupError, Settings
from order_service.host import SETTINGS, STACK, try_run, write_text
from order_service.release.project import base
from order_service.secrets import api_clients, secret_files

SERVICE = "service"
_OPTIONS = "/run/options.cnf"


def server(settings: Settings, account: str) -> Server:
    """Return the database's server, as this account.

    Where somebody else runs it there are two: the service's, and that of the migrations, which does
    all else.

    Raises:
        BackupError: somebody else runs it, and it is not known where.
    """
    if not settings.external:
        return Server(settings.container, account)
    volume = secret_files.VOLUME if account == SERVICE else api_clients.VOLUME
    url = secret_files.text("database_url", volume)
    if not url:
        raise BackupError("nobody has said where the database is; run deploy.yml with database_url")
    login = Login.of(url)
    options = SETTINGS / f"database-{'service' if account == SERVICE else 'migrator'}.cnf"
    write_text(options, login.options(), 0o400)
    return _Elsewhere(image(settings), options, secret_files.folder(volume), login.user)


def image(settings: Settings) -> str:
    """Return what MySQL runs from, or what it would where its container is gone or is not here."""
    found = try_run(["docker", "inspect", "--format", "{{.Image}}", settings.container])
    name: str = found.stdout.strip() or base(STACK, "").services()["mysql"]["image"]
    return name


@dataclass(frozen=True)
class Login:
    """Where a server is, and who logs in."""

    host: str
    port: int
    user: str
    password: str
    authority: str

    @classmethod
    def of(cls, url: str) -> Login:
        """Return what a DATABASE_URL says; of several servers the first."""
        split = urlsplit(url)
        user, _, servers = split.netloc.rpartition("@")
        name, _, password = user.partition(":")
        there = urlsplit(f"//{servers.split(',')[0]}")
        authority = parse_qs(split.query).get("ssl_ca", [""])[0]
        port = there.port or 3306
        return cls(there.hostname or "", port, unquote(name), unquote(password), authority)

    def options(self) -> str:
        """Return a file of options for MySQL's clients."""
        lines = ["[client]", "protocol=tcp", f"host={self.host}", f"port={self.port}"]
        for name, value in (("user", self.user), ("password", self.password)):
            # What is between the first quotation mark and the last one.
            escaped = value.replace("\\", "\\\\")
            lines.append(f'{name}="{escaped}"')
        if self.authority:
            lines += ["ssl-mode=VERIFY_IDENTITY", f"ssl-ca={self.authority}"]
        return "\n".join(lines) + "\n"


class _Elsewhere(Server):
    def __init__(self, image: str, options: Path, secrets: Path, account: str) -> None:
        super().__init__("", account)
        self._client = (
            *("docker", "run", "--rm", "--interactive", "--init", "--network=host"),
            # What it puts out is a backup, which is not to lie in a log.
            *("--log-driver=none", "--read-only", "--security-opt=no-new-privileges"),
            *(f"--volume={options}:{_OPTIONS}:ro", f"--volume={secrets}:/run/secrets:ro"),
            *("--entrypoint=env", image),
        )

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line that runs one of MySQL's clients."""
        return [*self._client, program, f"--defaults-extra-file={_OPTIONS}", *arguments]

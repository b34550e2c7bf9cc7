"""Packed files: compressed by zstd, encrypted by age where a public key is given.

write: source | zstd | age -> file, hashed as it is written
read:  file | age | zstd -> target
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from order_service.backup.settings import BackupError

_CHUNK = 1 << 20
_CHECK_SPACE_EVERY = 16 << 20
_ZSTD = ("zstd", "--quiet", "--stdout", "-3")
_UNZSTD = ("zstd", "--quiet", "--stdout", "--decompress")


@dataclass(frozen=True)
class Packed:
    """A file that was written."""

    bytes: int
    sha256: str


def suffix(public_key: str) -> str:
    """Return how the names of packed files end."""
    return ".zst.age" if public_key else ".zst"


def pack(
    source: Sequence[str],
    target: Path,
    *,
    public_key: str,
    reserve: int,
    watch: Callable[[bytes], None] = lambda _: None,
    stdin: int = subprocess.DEVNULL,
) -> Packed:
    """Write what a command puts out to a new file, durably, and show it to `watch` on the way.

    `stdin` is a descriptor that the command reads from.

    Raises:
        BackupError: the command or a packer failed, or the disk is about to be full.
    """
    commands = [_ZSTD, *([("age", "--encrypt", "--recipient", public_key)] if public_key else [])]
    with ExitStack() as stack:
        producer = stack.enter_context(_Process(source, stdin=stdin))
        packers: list[_Process] = []
        for command in commands:
            upstream = packers[-1].stdout if packers else subprocess.PIPE
            packers.append(stack.enter_context(_Process(command, stdin=upstream)))
        pump = _Pump(producer.stdout, packers[0].stdin, watch)
        pump.start()
        packed = _write(_chunks(packers[-1].stdout), target, reserve)
        pump.join()
        # A packer that failed made the pump stop, and so the producer wait: the cause comes first.
        for process in reversed(packers):
            process.check()
        if pump.problem:
            raise BackupError(str(pump.problem))
        producer.check(complaints_count=True)
    return packed


def unpack(source: Path, target: Sequence[str], identity: Path | None) -> None:
    """Feed the content of a packed file to a command.

    Raises:
        BackupError: the file is damaged, its key is missing or wrong, or the command failed.
    """
    commands = [*_unpackers(source, identity), target]
    with ExitStack() as stack:
        upstream: IO[bytes] | int = stack.enter_context(source.open("rb"))
        processes: list[_Process] = []
        for command in commands:
            processes.append(stack.enter_context(_Process(command, stdin=upstream)))
            upstream = processes[-1].stdout
        said = processes[-1].stdout.read().decode(errors="replace").strip()
        for process in (processes[-1], *processes[:-1]):
            process.check(said)


def unpack_to(source: Path, target: Path, identity: Path | None) -> None:
    """Write the content of a packed file to another file; raises as `unpack` does."""
    unpack(source, ("dd", "bs=1M", "status=none", f"of={target}"), identity)


def checksum(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, size: int, sha256: str) -> None:
    """Refuse a file that is not what was written.

    Raises:
        BackupError: it is missing, truncated or altered.
    """
    if not path.exists():
        raise BackupError(f"{path} is missing; use another backup")
    found = path.stat().st_size
    if found != size:
        raise BackupError(
            f"{path} is damaged: it has {found} bytes, written were {size}; use another backup"
        )
    if checksum(path) != sha256:
        raise BackupError(f"{path} is damaged: its SHA-256 is not {sha256}; use another backup")


def check_identity(source: Path, identity: Path | None) -> None:
    """Refuse an encrypted file without its private key.

    Raises:
        BackupError: it is needed, and not there.
    """
    if source.suffix == ".age" and identity is None:
        raise BackupError(
            f"{source.name} is encrypted; hand over its private key by"
            " -e restore_identity_file=<file on the control node>"
        )


def _unpackers(source: Path, identity: Path | None) -> list[tuple[str, ...]]:
    check_identity(source, identity)
    if identity is None or source.suffix != ".age":
        return [_UNZSTD]
    return [("age", "--decrypt", "--identity", str(identity)), _UNZSTD]


class _Process:
    """A part of a pipeline; ended at the end of the block, whatever happens."""

    def __init__(self, command: Sequence[str], stdin: IO[bytes] | int) -> None:
        self._name = command[0]
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - a list, without a shell
                command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except FileNotFoundError:
            raise BackupError(f"{self._name} is not installed; run deploy.yml") from None
        if not isinstance(stdin, int):
            stdin.close()  # the process has it: else its end would go unnoticed
        self._errors = bytearray()
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    @property
    def stdin(self) -> IO[bytes]:
        return cast("IO[bytes]", self._popen.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        return cast("IO[bytes]", self._popen.stdout)

    def check(self, said: str = "", *, complaints_count: bool = False) -> None:
        """Raise what the process complained about when it failed.

        mysqldump leaves out what it may not read, says so, and ends with 0: `complaints_count`.
        """
        status = self._popen.wait()
        self._reader.join()
        text = self._errors.decode(errors="replace").strip() or said
        if status != 0 or (complaints_count and "Error: " in text):
            raise BackupError(f"{self._name} ended with {status}: {text[-1000:]}")

    def _read_errors(self) -> None:
        for line in cast("IO[bytes]", self._popen.stderr):
            self._errors += line
            del self._errors[:-4000]

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        self._reader.join()
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe and not pipe.closed:
                # What was buffered may have no reader any more.
                with suppress(OSError):
                    pipe.close()


class _Pump(threading.Thread):
    """Moves the source's bytes to the first packer."""

    def __init__(self, source: IO[bytes], sink: IO[bytes], watch: Callable[[bytes], None]) -> None:
        super().__init__(daemon=True)
        self._source, self._sink, self._watch = source, sink, watch
        self.problem: Exception | None = None

    def run(self) -> None:
        try:
            with self._sink:
                for chunk in _chunks(self._source):
                    self._watch(chunk)
                    self._sink.write(chunk)
        except (OSError, BackupError) as problem:
            self.problem = problem


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    # What is there now, not what fills the chunk: the watcher waits for the first line.
    while chunk := os.read(file.fileno(), _CHUNK):
        yield chunk


def _write(chunks: Iterator[bytes], target: Path, reserve: int) -> Packed:
    digest, size, checked = hashlib.sha256(), 0, 0
    with target.open("xb") as file:
        target.chmod(0o600)
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            if size - checked >= _CHECK_SPACE_EVERY:
                checked = size
                free = shutil.disk_usage(target.parent).free
                if free < reserve:
                    raise BackupError(
                        f"the disk has {free >> 20} MiB left, less than the {reserve >> 20} MiB"
                        " that a backup leaves free: free some space, or keep fewer backups"
                    )
        file.flush()
        os.fsync(file.fileno())
    return Packed(size, digest.hexdigest())

"""The files into which the workers of a server count, so that any of them can sum up all.

Each worker has a slot, and a worker that takes a dead one's place counts on in its files. So there
are as many files as workers at one time, and no figure goes back. Their bytes are reserved before
a worker begins: a file that cannot grow on a full disk would end it by a signal. What a dead
worker had at that moment (its gauges) does not count: each holds a lock while it lives.

prometheus_client decides where to count while it is imported, so `open_folder` comes before.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

LIBRARY = "prometheus_client"
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "order-service-metrics-"
# As prometheus_client names them.
GAUGES = "gauge_livesum"
KINDS = ("counter", "histogram", GAUGES)
# Bytes of a file: several times of what all series take.
FILE_SIZE = 1 << 19
LOCK = "lock"
_slot = 0


def open_folder() -> None:
    """Make the folder of this server, once; remove those of servers that were killed."""
    if VARIABLE in os.environ:
        return
    if LIBRARY in sys.modules:
        raise RuntimeError(f"{LIBRARY} is imported before its folder is there: see worker_files")
    _remove_abandoned()
    try:
        folder = tempfile.mkdtemp(prefix=PREFIX)
        # Held until this process and all its workers are gone.
        held = os.open(Path(folder, LOCK), os.O_CREAT | os.O_RDWR)
        fcntl.flock(held, fcntl.LOCK_EX)
    except OSError as problem:
        log.warning("no place for the metrics of several workers: %s", problem)
        return
    os.environ[VARIABLE] = folder
    atexit.register(_remove, folder, os.getpid())


def prepare(slot: int) -> bool:
    """Reserve the files of the worker in this slot; return whether there was room for them."""
    if VARIABLE not in os.environ:
        return False
    try:
        for kind in KINDS:
            with _path(kind, slot).open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, FILE_SIZE)
    except OSError as problem:
        log.warning("no room for the metrics of a worker, which serves without: %s", problem)
        return False
    return True


def use(slot: int | None) -> None:
    """Count in the files of this slot; for None in this process alone."""
    global _slot  # noqa: PLW0603 - a process is one worker
    if slot is None:
        os.environ.pop(VARIABLE, None)
        return
    _slot = slot
    if VARIABLE in os.environ:
        _show_life(slot)


def slot() -> int:
    """Return the slot of this process."""
    return _slot


def files() -> list[str] | None:
    """Return the files that count; None where there is no server that has any."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    present = {str(_path(GAUGES, slot)) for slot in living()}
    found = [str(file) for file in sorted(Path(folder).glob("*.db"))]
    return [file for file in found if GAUGES not in file or file in present]


def living() -> dict[int, int]:
    """Return the process ids of the workers that live, by their slots."""
    folder = os.environ.get(VARIABLE)
    found = {}
    for path in Path(folder).glob("*.pid") if folder else ():
        with suppress(OSError, ValueError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found[int(path.stem)] = int(file.read())
    return found


def _path(kind: str, slot: int) -> Path:
    return Path(os.environ[VARIABLE], f"{kind}_{slot}.db")


def _show_life(slot: int) -> None:
    try:
        held = os.open(Path(os.environ[VARIABLE], f"{slot}.pid"), os.O_CREAT | os.O_RDWR, 0o600)
        # Free as soon as the process ends, however it ends.
        fcntl.flock(held, fcntl.LOCK_EX)
        os.truncate(held, 0)
        os.write(held, str(os.getpid()).encode())
    except OSError as problem:
        log.warning("the metrics do not tell of this worker's process: %s", problem)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            with Path(folder, LOCK).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # its server lives, or it is somebody else's
            continue
        shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)

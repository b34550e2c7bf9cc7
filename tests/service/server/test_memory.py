"""What refused requests leave behind in a worker."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.databases import order_body
from tests.support.service_process import Server

REFUSED = 200
MIB = 1024


def peak(pid: int) -> int:
    """Return the most memory that the process has had, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    [size] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(size)


def test_refused_bodies_do_not_pile_up(tmp_path: Path, sqlite_url: str) -> None:
    with Server(tmp_path, sqlite_url, PROCESSOR_THREADS=0) as server:
        client = server.start().client
        [worker] = server.workers()
        body = order_body(1, unknown="x" * 1_000_000)
        assert len(json.dumps(body)) < 1024 * 1024
        assert client.post(body).status == 400
        before = peak(worker)
        for _ in range(REFUSED):
            assert client.post(body).status == 400
        # Each that stays is a MiB.
        assert peak(worker) - before < REFUSED * MIB / 4

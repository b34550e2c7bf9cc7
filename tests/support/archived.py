"""What an archive's folder holds, read as anybody would: gzip, JSON, and sha256sum."""

from __future__ import annotations

import gzip
import subprocess
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import simplejson

from tests.support.inspection import Store

HELPERS = {".lock"}


def orders_in(folder: Path) -> list[dict[str, Any]]:
    """Return the orders of all files, which are whole and have the right checksums.

    Nothing else is there, but the lock of the runs.
    """
    files = sorted(path for path in folder.iterdir() if path.name not in HELPERS)
    sums = [path for path in files if path.suffix == ".sha256"]
    data = [path for path in files if path not in sums]
    assert [f"{path.name}.sha256" for path in data] == [path.name for path in sums]
    if sums:
        checked = subprocess.run(
            ["sha256sum", "--check", "--strict", *(path.name for path in sums)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
    lines = [line for path in data for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [simplejson.loads(line, parse_float=Decimal) for line in lines]


def assert_each_in_one_place(store: Store, folder: Path, ids: set[int]) -> None:
    """Check that each order is either in the table or in exactly one file."""
    places = Counter(order["order_id"] for order in orders_in(folder))
    places.update([*store.statuses()])
    assert places == dict.fromkeys(ids, 1)

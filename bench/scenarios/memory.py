"""The memory of one process that accepts and processes orders, after few and after many; and what
the orders take on MySQL's disk."""

from __future__ import annotations

import math
from pathlib import Path

from bench.bench import Bench
from bench.database import OrderDatabase
from bench.load import LoadError
from bench.measurements import LOG_BYTES, POSTED, TABLE_BYTES
from bench.options import TARGET_CONNECTIONS
from bench.servers import WebServer, service

SLICE_SECONDS = 10
LONGEST_SECONDS = 1800.0
PROCESSOR_THREADS = 8
KIBIBYTES = 1024
# MySQL makes room for the table in steps, which count for much where there are fewer orders.
ENOUGH_TO_WEIGH = 50_000


def run(bench: Bench) -> None:
    """Post and process the first few orders, then go on to many in the same process."""
    few, many = bench.options.memory
    database = bench.database()
    server = service(
        database,
        bench.credentials,
        bench.directory,
        WEB_CONCURRENCY=1,
        PROCESSOR_THREADS=PROCESSOR_THREADS,
    )
    logged = database.binary_log_bytes()
    with server.start():
        _post(bench, server, few)
        _note(bench, server, database, few)
        _post(bench, server, min(bench.options.memory_posted, many) - few)
        database.wait_until_processed(LONGEST_SECONDS)
        posted = database.count()
        bench.results.counts[POSTED] = posted
        if posted >= ENOUGH_TO_WEIGH:
            bench.results.counts |= {
                TABLE_BYTES: database.table_bytes() // posted,
                LOG_BYTES: (database.binary_log_bytes() - logged) // posted,
            }
        database.add_pending(max(0, many - posted))
        _note(bench, server, database, many)


def _post(bench: Bench, server: WebServer, number: int) -> None:
    posted, rate = 0, float(number)
    while posted < number:
        seconds = min(SLICE_SECONDS, max(1, math.ceil((number - posted) / rate)))
        sample = bench.generator.run(
            server.url, "post", connections=TARGET_CONNECTIONS, seconds=seconds, stored=0
        )
        if sample.errors:
            raise LoadError(f"while orders are posted and processed: {sample.problem}")
        posted += sample.requests
        # On a busy machine the first second may pass without an answer.
        rate = max(1.0, sample.rate)


def _note(bench: Bench, server: WebServer, database: OrderDatabase, number: int) -> None:
    database.wait_until_processed(LONGEST_SECONDS)
    (worker,) = server.workers()
    bench.results.memory[number] = resident_mebibytes(Path(f"/proc/{worker}/status").read_text())
    print(
        f"  {bench.results.memory[number]:.1f} MiB after {database.completed()} orders", flush=True
    )


def resident_mebibytes(status: str) -> float:
    """Return the resident memory that the kernel tells of a process."""
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / KIBIBYTES

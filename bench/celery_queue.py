"""Celery's queue: a Redis server of our own, filled once and copied for each measurement."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.polling import wait_until
from tests.support.ports import HOST, free_port
from tests.support.service_process import REPOSITORY, Process

QUEUE = "celery"
UNACKNOWLEDGED = "unacked"
FILLED = "filled"
FILL_SECONDS = 300.0
START_SECONDS = 20.0


class CeleryQueue:
    """`tasks` queued tasks that do nothing, as often as `refill` is called."""

    def __init__(self, directory: Path, tasks: int) -> None:
        self._directory = directory
        self._tasks = tasks
        self._port = free_port()
        self._redis = Redis(HOST, self._port)
        self._environment = {"BROKER_URL": f"redis://{HOST}:{self._port}/0"}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            server = Process(
                ["/usr/bin/redis-server", f"--port {self._port}", f"--bind {HOST}", "--save", ""],
                self._directory,
                {},
            )
            stack.enter_context(server.start())
            stack.callback(self._redis.close)
            wait_until(self._answers, START_SECONDS, "redis-server's answer")
            self._fill()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def refill(self) -> None:
        """Queue all tasks, and nothing else."""
        self._redis.delete(QUEUE, UNACKNOWLEDGED)
        self._redis.copy(FILLED, QUEUE)

    def finished(self) -> int:
        """Return how many tasks are done, those included that the worker's processes run now."""
        left = int(self._redis.llen(QUEUE)) + int(self._redis.hlen(UNACKNOWLEDGED))
        return self._tasks - left

    def worker(self, processes: int) -> Process:
        """Return a worker with that many processes that run tasks."""
        return Process(
            [
                *("celery", "--app=bench.peers.celery_app", "worker", "--loglevel=WARNING"),
                *(f"--concurrency={processes}", "--pool=prefork"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            self._directory,
            # Celery only warns when root runs it.
            self._environment,
        )

    def _fill(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "bench.peers.celery_app", str(self._tasks)],
            check=True,
            cwd=REPOSITORY,
            env=self._environment,
            timeout=FILL_SECONDS,
        )
        self._redis.rename(QUEUE, FILLED)

    def _answers(self) -> bool:
        try:
            return bool(self._redis.ping())
        except RedisConnectionError:
            return False

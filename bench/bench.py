"""One run: what all scenarios share, and what is left of it at the end, which is nothing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from bench.database import BenchMySQL, OrderDatabase, production_settings
from bench.load import Generator
from bench.measurements import Results
from bench.options import Options
from bench.servers import Credentials


class Bench:
    """The MySQL server, the credentials, the load generator and the results of a run."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.results = Results()
        self.credentials = Credentials.make()
        self.generator = Generator(self.credentials.authorization)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(TemporaryDirectory(prefix="order-service-bench-"))
            self.directory = Path(temporary)
            self.mysql = stack.enter_context(BenchMySQL.start(extra_args=production_settings()))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def database(self) -> OrderDatabase:
        """Return a new, migrated database."""
        return OrderDatabase(self.mysql)

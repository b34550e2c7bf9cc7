"""The bench refuses to measure a server that does something else than the contract says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.conformance import Conformance, ConformanceError
from tests.support import databases
from tests.support.service_process import AUTHORIZATION, Server


def test_conformance_of_the_service(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/orders.db"
    databases.migrate(url)
    with Server(tmp_path, url, PROCESSOR_THREADS=0) as server:
        server.start()
        address = f"http://127.0.0.1:{server.port}"
        check = Conformance("service", address, AUTHORIZATION["authorization"])
        check.check()
        with pytest.raises(ConformanceError, match=r"GET /orders/1 is 200; expected 404"):
            check.check()
        with pytest.raises(ConformanceError, match=r"is 401; expected 404"):
            Conformance("service", address, "Basic d3Jvbmc6d3Jvbmc=").check()

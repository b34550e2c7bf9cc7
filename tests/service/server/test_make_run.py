"""`make run` in a fresh clone, as everybody's first command."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3

from tests.support.databases import order_body
from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.service_process import BIN, Client, Process
from tests.support.stack import fresh_checkout

SECONDS = 60.0
# Every package is downloaded, and some are compiled.
INSTALL_SECONDS = 240.0
OTHER_ADDRESS = "127.0.0.2"


def lend_environment(checkout: Path) -> None:
    """Give the clone this environment's programs, so that nothing is left to be installed."""
    programs = checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("flask", "gunicorn"):
        (programs / name).symlink_to(BIN / name)
    # Nobody installs anything into what is lent.
    (programs / "python").symlink_to("/bin/false")
    (checkout / ".venv" / ".run").touch()


def leave_as_it_is(_checkout: Path) -> None:
    """The clone has no environment yet."""


def settings_of_pip() -> dict[str, str]:
    """Return where pip finds packages, and how it trusts them."""
    prefixes = ("HOME", "PIP_", "SSL_CERT", "REQUESTS_", "http_", "https_", "no_", "HTTP", "NO_")
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}


@pytest.mark.parametrize(
    ("prepare", "seconds"),
    [
        pytest.param(lend_environment, SECONDS, id="installed"),
        pytest.param(leave_as_it_is, INSTALL_SECONDS, id="anew", marks=pytest.mark.slow),
    ],
)
def test_it_serves_this_machine_alone_until_ctrl_c(
    tmp_path: Path, prepare: Callable[[Path], None], seconds: float
) -> None:
    checkout = fresh_checkout(tmp_path / "clone")
    prepare(checkout)
    port = free_port()
    client = Client(port)
    make = [str(shutil.which("make")), "run"]
    environment = settings_of_pip() | {"PORT": str(port)}
    with Process(make, tmp_path, environment, checkout) as process:
        process.start()

        def is_ready() -> bool:
            assert process.popen.poll() is None, process.log
            try:
                return client.get("/readyz").status == 200
            except urllib3.exceptions.HTTPError:
                return False

        wait_until(is_ready, seconds, "the service", every=0.1)
        assert client.post(order_body(123)).status == 201
        wait_until(lambda: client.get("/orders/123").json()["status"] == "Completed", SECONDS)
        assert (checkout / "instance" / "orders.db").exists()
        assert f"http://127.0.0.1:{port}/console/ (admin, securepassword)" in process.log
        assert client.get("/console/").status == 200
        client.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((OTHER_ADDRESS, port), SECONDS)
        # What a terminal does: each process of the group is told.
        os.killpg(process.popen.pid, signal.SIGINT)
        process.popen.wait(SECONDS)
        wait_until(lambda: not process.group(), SECONDS, "the end of all processes")
        assert "Traceback" not in process.log

"""Chromium for tests, and the site that they look at."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page

from service.console.site import REFRESH_SECONDS
from tests.support.inspection import Store
from tests.support.layers import BROWSER
from tests.support.service_process import Server

EXECUTABLE = shutil.which(BROWSER) or BROWSER
# As root it has no sandbox; in containers little shared memory. Names without DNS: hosts that a
# browser trusts less than localhost.
OPTIONS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP *.test 127.0.0.1",
]


@dataclass(frozen=True, slots=True)
class Site:
    """A server, its database, and the clients that may log in: name and secret by role."""

    server: Server
    store: Store
    logins: dict[str, tuple[str, str]]

    @property
    def base(self) -> str:
        """Where the server is."""
        return f"http://127.0.0.1:{self.server.port}"


def pass_time(page: Page, condition: Callable[[], bool], refreshes: int = 3) -> None:
    """Let the page's clock run until the condition holds, for so many refreshes at most."""
    for _ in range(refreshes * REFRESH_SECONDS * 10):
        if condition():
            return
        page.clock.run_for(100)
        page.wait_for_timeout(5)
    assert condition()

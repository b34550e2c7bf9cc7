"""What a release counts about itself, read from the /metrics of its service and of its worker."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Self

from order_service.dotenv import dotenv
from order_service.host import CommandError
from order_service.release import colours
from order_service.release.colours import Colour
from order_service.release.smoke import Client

# The API's, and the one before, which a service that was started before its change still has.
PASSWORDS = ("auth_password", "auth_password_previous")
FAILING = ("failed", "rejected", "timed_out")
# Neither good nor bad: a receiver that is away, a stop and a process that died say nothing.
DECIDED = ("completed", *FAILING)
_SAMPLE = re.compile(
    r"^order_service_(attempts_total|http_request_duration_seconds_bucket)\{(.*)\} (\S+)$",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Figures:
    """Attempts at orders that ended, those of them that failed, and how long requests took.

    `requests` has, by method and route, how many took at most so many seconds.
    """

    attempts: float = 0
    failing: float = 0
    requests: dict[str, dict[float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, pages: Iterable[str]) -> Self:
        """Sum up pages of Prometheus' text format."""
        results: dict[str, float] = defaultdict(float)
        requests: dict[str, dict[float, float]] = {}
        for name, labels, value in _samples(pages):
            if name == "attempts_total":
                results[labels["result"]] += value
            else:
                route = requests.setdefault(f"{labels['method']} {labels['route']}", {})
                most = float(labels["le"])
                route[most] = route.get(most, 0) + value
        attempts, failing = (sum(results[one] for one in kinds) for kinds in (DECIDED, FAILING))
        return cls(attempts, failing, requests)

    def attempts_since(self, former: Self) -> tuple[float, float]:
        """Return the attempts and the failing ones that came later; a restart counts from 0."""
        more = self.attempts - former.attempts, self.failing - former.failing
        return (self.attempts, self.failing) if min(more) < 0 else more


def _samples(pages: Iterable[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    for page in pages:
        for name, labels, value in _SAMPLE.findall(page):
            with suppress(ValueError):
                yield name, dict(_LABEL.findall(labels)), float(value)


class Meter:
    """Reads the figures of what runs in one place."""

    def __init__(self, client: Client, worker: str) -> None:
        self._client = client
        self._workers = (
            [replace(client, address=worker, port=colours.WORKER_PORT)] if worker else []
        )

    @classmethod
    def of(cls, colour: Colour) -> Self | None:
        """Return a meter of the place; None where nothing tells its figures."""
        for password in PASSWORDS:
            with suppress(CommandError):
                meter = cls(client_of(colour, password), colour.worker_address())
                meter.read()
                return meter
        return None

    def read(self) -> Figures:
        """Return the figures; a worker that does not answer has none.

        Raises:
            CommandError: what is asked first does not answer.
        """
        pages = [self._client.figures()]
        for worker in self._workers:
            with suppress(CommandError):
                pages.append(worker.figures())
        return Figures.of(pages)


def client_of(colour: Colour, password: str = PASSWORDS[0]) -> Client:
    """Return who asks what runs in a place directly.

    Raises:
        CommandError: nothing runs there.
    """
    username = dotenv().get("AUTH_USERNAME") or "admin"
    return Client(*colour.asked_at(), username, colour.secret(password).strip())

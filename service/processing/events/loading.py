"""Makes what delivers events, where the settings ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.config import ConfigError, Settings

# No more here: the server's master loads this, and must not load the metrics before its workers.
if TYPE_CHECKING:
    from service.processing.clock import DatabaseClock
    from service.processing.events.deliverer import Deliverer
    from service.processing.standard_webhooks import Endpoint
    from service.storage.database import Database

# Events that a process delivers at the same time.
MOST_AT_ONCE = 32


def load_endpoint(settings: Settings) -> Endpoint | None:
    """Return the receiver of events, or None while `EVENTS_URL` is unset.

    Raises:
        ConfigError: the address is none.
    """
    if settings.events_url is None or settings.events_secret is None:
        return None
    # Here, since its HTTP client costs each process that does not need it some megabytes.
    from service.processing.standard_webhooks import Endpoint  # noqa: PLC0415

    secrets = [settings.events_secret, settings.events_secret_previous]
    given = [secret for secret in secrets if secret is not None]
    try:
        return Endpoint(settings.events_url, given, MOST_AT_ONCE)
    except ValueError:
        raise ConfigError(
            "EVENTS_URL: its host is none; expected https://host/path or http://host/path"
        ) from None


def load_deliverer(
    database: Database, settings: Settings, clock: DatabaseClock, runner: str
) -> Deliverer | None:
    """Return what delivers events as `runner`, or None while `EVENTS_URL` is unset.

    Raises:
        ConfigError: as `load_endpoint`.
    """
    endpoint = load_endpoint(settings)
    if endpoint is None:
        return None
    from service.processing.events.deliverer import Deliverer  # noqa: PLC0415
    from service.processing.events.sender import Sender  # noqa: PLC0415

    sender = Sender(endpoint, settings.processor_retry_delays)
    return Deliverer(database, sender, clock, runner=runner, most=MOST_AT_ONCE)

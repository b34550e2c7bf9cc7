"""What a rollout waits for, and what takes a release back: /etc/order-service/rollout.json."""

from __future__ import annotations

from dataclasses import dataclass, fields

from order_service.host import SETTINGS, read_json


@dataclass(frozen=True)
class Limits:
    """The settings of a rollout, with their defaults."""

    ready_seconds: float = 120
    bake_seconds: float = 30
    # Of the answers while baking that are 5xx, and of the attempts at orders that fail.
    bake_bad_share: float = 0.01
    # How many times longer than before requests may take.
    bake_slow_factor: float = 3
    https_port: int = 443
    # A name that the certificate is good for.
    public_name: str = "localhost"

    @classmethod
    def read(cls) -> Limits:
        """Return what the host's file says; what only a newer program knows is left out.

        Raises:
            CommandError: the file is not JSON.
        """
        known = {field.name for field in fields(cls)}
        given = read_json(SETTINGS / "rollout.json", {})
        return cls(**{name: value for name, value in given.items() if name in known})

"""What clients trust: the certificate and the passwords."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from order_service.certificates import renew as renew_certificate
from order_service.host import STATE, read_json
from order_service.secrets import secret_files
from order_service.status.line import Line

CERTIFICATE_DAYS = 14


def certificate() -> Iterator[Line]:
    """Tell how long nginx's certificate is valid."""
    end = renew_certificate.end_of(renew_certificate.installed())
    left = end - datetime.now(UTC)
    good = left > timedelta(days=CERTIFICATE_DAYS)
    yield Line("certificate", f"valid until {end:%Y-%m-%d %H:%M}, {left.days} days", good=good)


def passwords() -> Iterator[Line]:
    """Tell since when the API has its password, and which changes are not over."""
    changed = f"the API's since {secret_files.changed_at('auth_password'):%Y-%m-%d %H:%M}"
    if secret_files.text("auth_password_previous"):
        changed += "; the one before is still accepted (credentials.yml -e retire=api)"
    yield Line("passwords", changed)
    if pending := read_json(STATE / "rotation.json", None):
        yield Line(
            "passwords", f"a change by {pending['by']} was cut off; run it again", good=False
        )

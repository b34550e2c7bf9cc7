"""What clients trust: the certificate and the passwords."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509

from order_service.certificates import authority, of_mysql
from order_service.certificates import renew as renew_certificate
from order_service.host import STATE, CommandError, read_json
from order_service.secrets import secret_files
from order_service.status.line import Line

# Less than both: some are valid for a year, some for six days.
CERTIFICATE_LEFT = timedelta(days=14)
CERTIFICATE_SHARE = 1 / 3


def certificate() -> Iterator[Line]:
    """Tell how long nginx's certificate is valid."""
    yield _validity(renew_certificate.installed(), "", "")


def mysql_certificate() -> Iterator[Line]:
    """Tell the same of that which other hosts know MySQL by."""
    path = of_mysql.FOLDER / "server.pem"
    found = authority.read_certificate(path.read_bytes())
    if found is None:
        raise CommandError(f"{path} is no certificate; run deploy.yml")
    yield _validity(found, "MySQL's is ", "mysql")


def _validity(certificate: x509.Certificate, whose: str, subject: str) -> Line:
    end = authority.end_of(certificate)
    left = end - datetime.now(UTC)
    lifetime = end - authority.start_of(certificate)
    good = left > min(CERTIFICATE_LEFT, lifetime * CERTIFICATE_SHARE)
    text = f"{whose}valid until {end:%Y-%m-%d %H:%M}, {left.days} days"
    return Line("certificate", text, good=good, subject=subject)


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

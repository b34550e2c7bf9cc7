"""Checks names and the operator's own certificate where Ansible runs, before anything changes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from order_service.certificates import authority, pair
from order_service.certificates.authority import CertificateError


def main() -> None:
    """Exit with what is wrong, in the words of the inventory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="what clients call the service")
    parser.add_argument("--tls_certificate", default="", help="the file of the certificate")
    parser.add_argument("--tls_private_key", default="", help="the file of its key")
    parser.add_argument("--acme-names", nargs="*", default=[], help="those of an ACME authority")
    given = parser.parse_args()
    own = {name: getattr(given, name) for name in ("tls_certificate", "tls_private_key")}
    try:
        authority.check(given.names, "public_names")
        authority.check(given.acme_names, "acme_email: public_names", acme=True)
        if any(own.values()):
            _check_own(own, given)
    except CertificateError as problem:
        sys.exit(str(problem))


def _check_own(own: dict[str, str], given: argparse.Namespace) -> None:
    if missing := [name for name, value in own.items() if not value]:
        raise CertificateError(f"{missing[0]}: missing; expected {' and '.join(own)}, or neither")
    if given.acme_names:
        raise CertificateError("tls_certificate and acme_email: expected one of the two")
    pair.read(*map(Path, own.values())).check(given.names)


if __name__ == "__main__":
    main()

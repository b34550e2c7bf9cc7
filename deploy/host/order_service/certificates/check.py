"""Checks names and the operator's own certificate where Ansible runs, before anything changes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from order_service.certificates import authority, pair
from order_service.certificates.pair import CertificateError


def main() -> None:
    """Exit with what is wrong, in the words of the inventory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="what clients call the service")
    parser.add_argument("--chain", default="", help="the file of the certificate")
    parser.add_argument("--key", default="", help="the file of its key")
    parser.add_argument("--acme-names", nargs="*", default=[], help="those of an ACME authority")
    try:
        check(parser.parse_args())
    except CertificateError as problem:
        sys.exit(str(problem))


def check(given: argparse.Namespace) -> None:
    """Refuse what cannot work.

    Raises:
        CertificateError: it cannot; the text says which setting is wrong, and what is expected.
    """
    expected = "expected host names (orders.example.com, *.example.com) and IP addresses"
    if wrong := authority.refused(given.names):
        raise CertificateError(f"public_names: {', '.join(wrong)} is not allowed; {expected}")
    if wrong := [name for name in given.acme_names if "*" in name or authority.refused([name])]:
        raise CertificateError(
            f"acme_email: no ACME authority can look at {', '.join(wrong)}; expected public_names"
            " with host names without * and public IP addresses"
        )
    if not given.chain and not given.key:
        return
    for setting, value in (("tls_certificate", given.chain), ("tls_private_key", given.key)):
        if not value:
            raise CertificateError(
                f"{setting}: missing; expected tls_certificate and tls_private_key, or neither"
            )
    if given.acme_names:
        raise CertificateError("tls_certificate and acme_email: expected one of the two")
    pair.read(Path(given.chain), Path(given.key)).check(given.names)


if __name__ == "__main__":
    main()

"""The user's own certificate is refused with what is wrong, before the host is changed."""

from __future__ import annotations

from typing import Any

import pytest
from order_service.certificates import authority

from tests.support.cases import CHECKS, Cases

NAME = "orders.example.com"
GOOD_FOR = ["orders.example.com", "*.shop.example", "192.0.2.1", "2001:db8::1"]
EXPECTED = {
    "names": "public_names: a_b.example is not allowed; expected host names",
    "no-key": "tls_private_key: missing",
    "no-file": "there is no file",
    "no-chain": "is not a chain of PEM certificates",
    "nonsense-key": "is not a PEM key, or has a pass phrase",
    "other-key": "is not the key of the first certificate",
    "order": "expected yours first, and behind each its issuer's",
    "ended": "expected one that is valid today",
    "uncovered": "but not for a.orders.example.com, a.b.shop.example",
    "acme-wildcard": "acme_email: public_names: *.example.com is not allowed; expected",
    "acme-and-own": "tls_certificate and acme_email: expected one of the two",
}


@pytest.fixture(scope="module")
def told(cases: Cases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each of the cases was told by one run."""
    folder = tmp_path_factory.mktemp("own")

    def file(name: str, content: bytes) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    def own(chain: str, key: str, *names: str) -> dict[str, Any]:
        return {"tls_certificate": chain, "tls_private_key": key, "public_names": list(names)}

    issuer, stranger = authority.make(), authority.make()
    leaf, key = issuer.issue(GOOD_FOR)
    ended, other = stranger.issue([NAME], days=0)
    chain, alone = file("chain.pem", leaf + issuer.certificate_pem), file("leaf.pem", leaf)
    chain_key, other_key = file("key.pem", key), file("other.pem", other)
    nonsense = file("nonsense.pem", b"nonsense")
    acme: dict[str, Any] = {"acme_email": "me@example.com"}
    settings = {
        "right": own(chain, chain_key, NAME, "a.shop.example", "192.0.2.1", "2001:db8::1"),
        "none": {"public_names": [NAME]},
        "names": {"public_names": [NAME, "a_b.example"]},
        "no-key": {"tls_certificate": chain},
        "no-file": own(str(folder / "gone.pem"), chain_key),
        "no-chain": own(nonsense, chain_key),
        "nonsense-key": own(alone, nonsense),
        "other-key": own(alone, other_key),
        "order": own(file("order.pem", leaf + ended), chain_key),
        "ended": own(file("ended.pem", ended), other_key),
        "uncovered": own(alone, chain_key, NAME, "a.orders.example.com", "a.b.shop.example"),
        "acme": acme | {"public_names": [NAME, "192.0.2.1"], "acme_profile": "tlsserver"},
        "acme-address": acme,
        "acme-wildcard": acme | {"public_names": [NAME, "*.example.com"]},
        "acme-and-own": acme | own(chain, chain_key, NAME),
    }
    return cases.run(CHECKS, settings, "--skip-tags", "always")


@pytest.mark.parametrize("case", EXPECTED)
def test_it_is_refused_with_what_is_wrong(told: dict[str, str], case: str) -> None:
    assert EXPECTED[case] in told[case]


def test_what_is_right_is_accepted(told: dict[str, str]) -> None:
    assert {told[case] for case in ("right", "none", "acme", "acme-address")} == {""}

"""Secrets that are refused are not shown, however much Ansible is asked to say."""

from __future__ import annotations

from pathlib import Path

import pytest
from order_service.certificates import authority

from tests.support.cases import CHECKS, Cases

CASES = {
    "short": ("api_password", "tOOsHORT", "api_password is not allowed; expected 12 characters"),
    "spaces": ("api_password", " spaces around it ", "api_password is not allowed"),
    "webhook": ("webhook_secret", "tOOsHORTaSWELL", "webhook_secret is not allowed; expected 16"),
    "former": (
        "webhook_secret_previous",
        "sHORTbEFORE",
        "webhook_secret_previous is not allowed; expected 16",
    ),
}


@pytest.fixture(scope="module")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A certificate with a key that is another one's."""
    folder, issuer = tmp_path_factory.mktemp("own"), authority.make()
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(issuer.issue(["localhost"])[0])
    key.write_bytes(issuer.issue(["localhost"])[1])
    return {"tls_certificate": str(chain), "tls_private_key": str(key)}


@pytest.fixture(scope="module")
def told(cases: Cases, other_key: dict[str, str]) -> dict[str, str]:
    """What each of the cases was told by one run."""
    settings = {case: {name: value} for case, (name, value, _) in CASES.items()} | {
        "default": {"api_password": "securepassword"},
        "right": {
            "api_password": "twelve-chars",
            "webhook_secret": "sixteen-chars-it",
            "webhook_secret_previous": "sixteen-in-former-days",
            "events_secret": "sixteen-chars-too",
            "events_secret_previous": "sixteen-in-former-times",
        },
        "key": other_key,
    }
    return cases.run(CHECKS, settings, "--skip-tags", "always", "-vvv")


@pytest.fixture(scope="module")
def output(cases: Cases, told: dict[str, str]) -> str:
    """All that the run has said."""
    assert told
    return cases.runs[-1].output


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_and_not_shown(told: dict[str, str], output: str, case: str) -> None:
    _, value, expected = CASES[case]
    assert expected in told[case]
    assert value not in output


def test_what_is_long_enough_is_accepted_and_not_shown(told: dict[str, str], output: str) -> None:
    assert told["right"] == ""
    assert "twelve-chars" not in output
    assert "sixteen-chars-it" not in output
    assert "sixteen-in-former-days" not in output
    assert "sixteen-chars-too" not in output
    assert "sixteen-in-former-times" not in output


def test_the_development_default_is_refused(told: dict[str, str]) -> None:
    assert "api_password is the development default" in told["default"]


def test_a_key_is_read_and_not_shown(
    told: dict[str, str], output: str, other_key: dict[str, str]
) -> None:
    assert "is not the key of the first certificate" in told["key"]
    first_line = Path(other_key["tls_private_key"]).read_text().splitlines()[1]
    assert first_line not in output

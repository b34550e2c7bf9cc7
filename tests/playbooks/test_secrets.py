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

PASSWORD = "oFtHEdATABASE"
URL = f"mysql+pymysql://service:{PASSWORD}@db.example/orders"
# What is wrong, and what is expected.
DATABASES: dict[str, tuple[dict[str, str], str]] = {
    "other-driver": (
        {"database_url": f"mysql://service:{PASSWORD}@db.example/orders"},
        "database_url is not allowed; expected mysql+pymysql://account:password@host:3306/database",
    ),
    "own-query": (
        {"database_url": f"{URL}?ssl_disabled=true", "database_ca": __file__},
        "database_url is not allowed",
    ),
    "unverified": ({"database_url": URL}, "database_ca: missing; expected the PEM file"),
    "no-file": (
        {"database_url": URL, "database_ca": "/no/such.pem"},
        "database_ca: /no/such.pem is no file on this machine",
    ),
    "no-url": ({"database_ca": __file__}, "database_url: missing; expected it with"),
    "wrong-migrator": (
        {"database_url": URL, "database_ca": __file__, "database_migrator_url": PASSWORD},
        "database_migrator_url is not allowed",
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
    settings = (
        {case: {name: value} for case, (name, value, _) in CASES.items()}
        | {
            "default": {"api_password": "securepassword"},
            "right": {
                "api_password": "twelve-chars",
                "webhook_secret": "sixteen-chars-it",
                "webhook_secret_previous": "sixteen-in-former-days",
                "events_secret": "sixteen-chars-too",
                "events_secret_previous": "sixteen-in-former-times",
            },
            "key": other_key,
            "database": {
                "database_url": f"{URL}?ssl_ca=/etc/ssl/own.pem",
                "database_migrator_url": f"{URL}?ssl_ca=/etc/ssl/own.pem",
            },
            "two-databases": {
                "database_url": URL.replace("db.example", "db1.example:3307,db2.example"),
                "database_ca": __file__,
            },
        }
        | {case: given for case, (given, _) in DATABASES.items()}
    )
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


@pytest.mark.parametrize("case", DATABASES)
def test_a_database_that_could_not_prove_itself_is_refused(
    told: dict[str, str], output: str, case: str
) -> None:
    assert DATABASES[case][1] in told[case]
    assert PASSWORD not in output


@pytest.mark.parametrize("case", ["database", "two-databases"])
def test_one_that_can_is_accepted(told: dict[str, str], case: str) -> None:
    assert told[case] == ""


def test_the_development_default_is_refused(told: dict[str, str]) -> None:
    assert "api_password is the development default" in told["default"]


def test_a_key_is_read_and_not_shown(
    told: dict[str, str], output: str, other_key: dict[str, str]
) -> None:
    assert "is not the key of the first certificate" in told["key"]
    first_line = Path(other_key["tls_private_key"]).read_text().splitlines()[1]
    assert first_line not in output

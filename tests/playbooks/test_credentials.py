"""What credentials.yml is asked for is checked before any host is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cases import Cases

WRONG: dict[str, dict[str, Any]] = {
    "what": {"rotate": "everything"},
    "retired": {"retire": "database"},
    "both": {"rotate": "api", "retire": "api"},
    "past": {"rotate": "api", "rotate_overlap_seconds": -1},
    "alone": {"rotate_overlap_seconds": 5},
    "not-of-the-api": {"rotate": "database", "rotate_overlap_seconds": 5},
    "no-client": {"rotate": "client"},
    "a-client-and-all": {"rotate": "all", "client": "shop"},
    "too-long": {"rotate": "client", "client": "shop", "rotate_overlap_seconds": 2592001},
}
RIGHT: dict[str, dict[str, Any]] = {
    "shown": {"show": True},
    "overlap": {"rotate": "all", "rotate_overlap_seconds": 300},
    "end": {"retire": "api"},
    "client": {"rotate": "client", "client": "shop", "rotate_overlap_seconds": 0},
}


@pytest.fixture(scope="module")
def told(cases: Cases) -> dict[str, str]:
    """What each of the cases was told by one run."""
    return cases.run("credentials.yml", WRONG | RIGHT)


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused_with_what_is_expected(told: dict[str, str], case: str) -> None:
    assert "-e rotate=api|database|all, or -e retire=api" in told[case]


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_one_is_passed_on_to_the_host(told: dict[str, str], case: str) -> None:
    # What could not be asked of it holds secrets, and is not shown.
    assert "UNREACHABLE!" in told[case]

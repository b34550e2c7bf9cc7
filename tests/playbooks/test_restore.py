"""What restore.yml is asked for is checked before any host is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cases import ASKED, Cases

CASES: dict[str, tuple[dict[str, Any], str]] = {
    # Without its time, live data would be replaced by an older state than was asked for.
    "misspelled": (
        {"restore_to": "live", "restore_untill": "latest"},
        "restore_untill. Did you mean restore_until?",
    ),
    "where": ({"restore_to": "life"}, "restore_to must be one of: scratch, drill, live"),
    "unconfirmed": (
        {"restore_to": "live"},
        """-e 'confirm="replace live data of unconfirmed"'""",
    ),
    "confirmed-for-another": (
        {"restore_to": "live", "confirm": "replace live data of unconfirmed"},
        "This would replace the live data of confirmed-for-another",
    ),
    "secrets": (
        {"restore_secrets": "perhaps"},
        "restore_secrets must be one of: , true, True, false, False",
    ),
    "no-key": ({"restore_identity_file": "/nowhere/key.txt"}, "/nowhere/key.txt is not there"),
    "no-folder": ({"restore_from": "/dev/null"}, "/dev/null is not there"),
    # Nothing is wrong with these.
    "trial": ({"restore_from": "offsite"}, ASKED),
    "drill": ({"restore_to": "drill", "restore_secrets": True}, ASKED),
    "confirmed": (
        {"restore_to": "live", "confirm": "replace live data of confirmed"},
        ASKED,
    ),
}


@pytest.fixture(scope="module")
def told(cases: Cases) -> dict[str, str]:
    """What each of the cases was told by one run."""
    return cases.run("restore.yml", {case: settings for case, (settings, _) in CASES.items()})


@pytest.mark.parametrize("case", CASES)
def test_it_is_told_what_is_expected(told: dict[str, str], case: str) -> None:
    assert CASES[case][1] in told[case].replace("''", "'")

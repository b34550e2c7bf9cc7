"""The ledger of releases: what can be gone back to, and what is forgotten."""

from __future__ import annotations

from order_service.release import ledger as ledgers
from order_service.release.ledger import Ledger


def activate(ledger: Ledger, release: str, *, back: bool = False) -> Ledger:
    return ledgers.activate(ledger, release, f"sha256:{release}", None, "me@here", back=back)


def deployed(*releases: str) -> Ledger:
    ledger = Ledger(active=None, releases=[])
    for release in releases:
        ledger = activate(ledger, release)
    return ledger


def names(ledger: Ledger) -> list[str]:
    return [entry["release"] for entry in ledger["releases"]]


def test_a_new_host_has_nothing_to_go_back_to() -> None:
    assert ledgers.previous(deployed()) is None
    assert ledgers.previous(deployed("a")) is None


def test_back_goes_to_what_served_before_and_then_one_further() -> None:
    ledger = deployed("a", "b", "c")
    assert ledgers.previous(ledger) == "b"
    ledger = activate(ledger, "b", back=True)
    assert ledgers.previous(ledger) == "a"
    ledger = activate(ledger, "a", back=True)
    assert ledgers.previous(ledger) is None


def test_after_a_rollback_the_next_release_goes_back_to_what_served() -> None:
    """Not to the one that was rolled back."""
    ledger = activate(deployed("a", "b"), "a", back=True)
    assert ledgers.previous(activate(ledger, "c")) == "a"


def test_the_same_release_again_does_not_go_back_to_itself() -> None:
    assert ledgers.previous(activate(deployed("a", "b"), "b")) == "a"


def test_five_are_kept_the_last_activated_at_the_end() -> None:
    assert names(deployed(*"abcdefg")) == list("cdefg")
    assert names(activate(deployed(*"abcd"), "b", back=True)) == list("acdb")


def test_what_a_rollback_needs_is_never_forgotten() -> None:
    """Five releases that were taken back one after the other do not push it out."""
    ledger = deployed("good")
    for bad in "abcdef":
        ledger = activate(activate(ledger, bad), "good", back=True)
    ledger = activate(ledger, "next")
    assert ledgers.previous(ledger) == "good"
    assert len(names(ledger)) == ledgers.KEPT


def test_the_digest_of_a_pulled_image_stays_known() -> None:
    ledger = Ledger(active=None, releases=[])
    ledger = ledgers.activate(ledger, "a", "sha256:1", "registry@sha256:2", "me", back=False)
    ledger = activate(activate(ledger, "b"), "a", back=True)
    entry = ledgers.find(ledger, "a")
    assert entry
    assert entry["digest"] == "registry@sha256:2"

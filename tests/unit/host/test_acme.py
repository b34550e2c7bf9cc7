"""When the ACME authority is asked again after failures, and what is asked for."""

from __future__ import annotations

import errno
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from order_service.certificates import acme

from tests.support.fake_host import Program

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def tries(asked: timedelta, *, hours: int) -> list[datetime]:
    """Return when it is asked in so many hours, by who asks so often, while all of it fails."""
    moment, failures = NOON, list[datetime]()
    while moment < NOON + hours * HOUR:
        if acme.may_try_at(failures, asked=asked < HOUR) <= moment:
            failures.append(moment)
        moment += asked
    return failures


def test_by_itself_it_is_asked_after_pauses_that_grow() -> None:
    moments = tries(HOUR, hours=48)
    pauses = [(later - earlier) / HOUR for earlier, later in pairwise(moments)]
    assert pauses == [1, 2, 4, 8, 8, 8, 8, 8]


def test_who_asks_all_the_time_stays_below_the_authoritys_limit() -> None:
    moments = tries(MINUTE, hours=5)
    # Who mends something may see at once whether that was it.
    assert moments[1] - moments[0] == MINUTE
    for first in moments:
        assert sum(first <= one < first + HOUR for one in moments) <= 4
    assert len(moments) == 20


@pytest.fixture
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMAIL", "SERVER", "PROFILE"):
        monkeypatch.delenv(f"ACME_{name}", raising=False)


def test_a_look_ends_with_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program
) -> None:
    monkeypatch.setenv("TLS_NAMES", "orders.example.com")
    monkeypatch.setattr(acme, "CURRENT", tmp_path / "current")
    monkeypatch.setattr(acme, "FAILURES", tmp_path / "failures.json")
    done = subprocess.CompletedProcess([], 1, "", "the authority is away")
    monkeypatch.setattr("order_service.certificates.acme.subprocess.run", lambda *_, **__: done)

    def look(*options: str) -> object:
        with pytest.raises(SystemExit) as ended:
            program(acme.main, "--once", *options)
        return ended.value.code

    assert look() == "FAILED: certbot: the authority is away"
    assert str(look()).startswith("FAILED: certbot: the authority is away (the next try is at ")
    done.returncode = 0
    assert look("--now") == 0
    assert (tmp_path / "current").readlink().parent == Path("live")
    # All is forgotten with that.
    assert look() == 0


def test_a_full_disk_does_not_end_the_container_which_would_ask_again_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: Program,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TLS_NAMES", "orders.example.com")
    monkeypatch.setattr(acme, "CURRENT", tmp_path / "current")
    monkeypatch.setattr(acme, "FAILURES", tmp_path / "failures.json")
    monkeypatch.setattr(acme, "HEALTHY", tmp_path / "healthy")
    asked: list[str] = []
    slept: list[float] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command[0])
        return subprocess.CompletedProcess(command, 1, "", "the authority is away")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("order_service.certificates.acme.subprocess.run", run)
    monkeypatch.setattr("order_service.certificates.acme.bring.put", full)
    monkeypatch.setattr("order_service.certificates.acme.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        program(acme.main)
    assert slept == [acme.LOOK_SECONDS] * 2
    assert asked == ["certbot"] * 2
    assert "acme: FAILED: [Errno 28] No space left on device" in capsys.readouterr().out


@pytest.mark.usefixtures("_settings")
def test_an_address_is_asked_for_in_the_profile_that_has_addresses() -> None:
    named = acme.command(["orders.example.com"], "one")
    assert named[named.index("--domain") + 1] == "orders.example.com"
    assert not [part for part in named if part.endswith("-profile") or part == "--server"]
    addressed = acme.command(["orders.example.com", "192.0.2.1", "2001:db8::1"], "one")
    assert addressed.count("--ip-address") == 2
    assert addressed[addressed.index("--preferred-profile") + 1] == "shortlived"


@pytest.mark.usefixtures("_settings")
def test_settings_are_the_authoritys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    before = acme.command(["orders.example.com"], "one")
    assert "--register-unsafely-without-email" in before
    given = {"EMAIL": "me@example.com", "SERVER": "https://ca.example/dir", "PROFILE": "tlsserver"}
    for name, value in given.items():
        monkeypatch.setenv(f"ACME_{name}", value)
    wanted = acme.command(["192.0.2.1"], "one")
    for option, value in zip(
        ("--email", "--server", "--required-profile"), given.values(), strict=True
    ):
        assert wanted[wanted.index(option) + 1] == value
    assert "--preferred-profile" not in wanted

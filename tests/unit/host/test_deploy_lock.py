"""The deployment's lock: one holder, whose name everybody is told."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from order_service import deploy_lock, host
from order_service.host import CommandError, alone

from tests.support.fake_host import Clock

Deployer = Callable[..., None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that passes while somebody waits."""
    made = Clock()
    for module in (deploy_lock, host):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def acquire(root: Path, clock: Clock) -> Deployer:  # noqa: ARG001 - they are used
    """Acquire the lock as somebody."""

    def acquired(owner: str, minutes: float = 60, wait: float = 0) -> None:
        deploy_lock.acquire(
            argparse.Namespace(
                token=f"token of {owner}", owner=owner, why="deploy 1", minutes=minutes, wait=wait
            )
        )

    return acquired


def test_the_second_is_told_who_holds_it_and_until_when(acquire: Deployer) -> None:
    acquire("ann@laptop")
    held = json.loads(deploy_lock.PATH.read_text())
    with pytest.raises(CommandError) as refused:
        acquire("bob@laptop")
    for part in ("ann@laptop", held["since"], "deploy 1", held["until"]):
        assert part in str(refused.value)
    assert json.loads(deploy_lock.PATH.read_text()) == held


def test_only_its_holder_frees_it(acquire: Deployer) -> None:
    acquire("ann@laptop")
    deploy_lock.release("token of bob@laptop")
    with pytest.raises(CommandError):
        acquire("bob@laptop")
    deploy_lock.release("token of ann@laptop")
    acquire("bob@laptop")


def test_its_holder_may_take_it_again(acquire: Deployer) -> None:
    acquire("ann@laptop")
    acquire("ann@laptop")


def test_a_forgotten_one_is_taken_over(acquire: Deployer) -> None:
    acquire("ann@laptop", minutes=-1)
    acquire("bob@laptop")
    assert json.loads(deploy_lock.PATH.read_text())["owner"] == "bob@laptop"


def test_waiting_ends_with_the_holder(acquire: Deployer, clock: Clock) -> None:
    acquire("ann@laptop")
    clock.on_sleep = lambda: deploy_lock.release("token of ann@laptop")
    acquire("bob@laptop", wait=60)
    assert json.loads(deploy_lock.PATH.read_text())["owner"] == "bob@laptop"


def test_waiting_ends_with_its_time(acquire: Deployer, clock: Clock) -> None:
    acquire("ann@laptop")
    with pytest.raises(CommandError, match="ann@laptop has been deploying here"):
        acquire("bob@laptop", wait=60)
    assert clock.now == pytest.approx(60, abs=2)


def test_a_damaged_lock_is_named(acquire: Deployer) -> None:
    deploy_lock.PATH.write_text("{")
    with pytest.raises(CommandError, match=r"lock\.json is not JSON .*; restore or remove it"):
        acquire("ann@laptop")


ROLLOUT = "the rollout of 1a2b3c, by ann@laptop"


def test_what_goes_on_without_its_deployment_is_waited_for(
    acquire: Deployer, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as rollout:
        rollout.enter_context(alone(ROLLOUT))
        clock.on_sleep = rollout.close
        acquire("bob@laptop")
    assert f"waiting: {ROLLOUT}, since 2" in capsys.readouterr().out
    assert json.loads(deploy_lock.PATH.read_text())["owner"] == "bob@laptop"


@pytest.mark.parametrize("minutes", [-1, None], ids=["forgotten", "none"])
def test_what_does_not_end_in_time_is_named(
    acquire: Deployer, clock: Clock, minutes: float | None
) -> None:
    """A lock that is past its time is not a forgotten one while its rollout goes on."""
    if minutes is not None:
        acquire("ann@laptop", minutes=minutes)
    with (
        alone(ROLLOUT),
        pytest.raises(CommandError, match=rf"{ROLLOUT}, since \S+ is still .* ends by itself"),
    ):
        acquire("bob@laptop")
    assert clock.now == pytest.approx(deploy_lock.UNDER_WAY_SECONDS, abs=2)
    acquire("bob@laptop")


def test_a_holder_is_told_at_once_also_while_it_rolls_out(acquire: Deployer) -> None:
    acquire("ann@laptop")
    with alone(ROLLOUT), pytest.raises(CommandError, match="ann@laptop has been deploying here"):
        acquire("bob@laptop")


@pytest.mark.usefixtures("root", "clock")
def test_of_two_at_work_the_second_is_told_about_the_first() -> None:
    with (
        alone(ROLLOUT),
        pytest.raises(CommandError, match=f"{ROLLOUT}, since .* is under way"),
        alone("a restore of the live data"),
    ):
        pass
    with alone("a restore of the live data"):
        assert (host.under_way() or "").startswith("a restore of the live data, since ")
    assert host.under_way() is None

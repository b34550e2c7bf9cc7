"""A release is taken back that is worse than the one before: in orders, or in its times."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import yaml
from order_service.release import rollout

from tests.support.clock import Clock
from tests.support.fake_docker import FakeDocker
from tests.support.fake_host import FIGURES, POST_AGAIN, FakeHost, Program, misbehaving
from tests.support.figures import page
from tests.support.service_process import REPOSITORY

INSERT_FAILS = misbehaving(POST_AGAIN, 500)
# Requests to one route: of 100, so many took at most so long.
Times = dict[str, dict[float, float]]
USUAL: Times = {"GET /orders": {0.025: 80, 0.1: 95, 0.25: 99, 0.5: 100, math.inf: 100}}
SLOW: Times = {"GET /orders": {0.025: 10, 0.1: 30, 0.25: 40, 0.5: 49, math.inf: 100}}


@pytest.fixture(autouse=True)
def short(on: FakeHost) -> None:
    """Watch for 11 s, in which the figures are looked at three times."""
    on.limits(bake_seconds=11)


def told(**by_release: str) -> Callable[[str], str]:
    """Have each release tell its figures."""
    return lambda release: by_release.get(release.removeprefix("the worker of "), "")


def test_a_release_that_cannot_store_orders_is_never_switched_to(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    on.behaviour = INSERT_FAILS
    with pytest.raises(SystemExit, match="POST /orders answered 500, expected 409"):
        roll_out("bad")
    assert "reload" not in docker.did
    on.assert_old_serves()


def test_the_newest_order_is_posted_again_and_nothing_new(on: FakeHost, roll_out: Program) -> None:
    asked: list[str] = []
    on.behaviour = lambda _, by, request: asked.append(f"{by}: {request}")
    roll_out()
    assert {f"direct: {POST_AGAIN}", f"nginx: {POST_AGAIN}"} <= set(asked)
    assert on.stored == []


def test_what_is_asked_at_once_is_within_the_least_limit_of_nginx(
    on: FakeHost, clock: Clock, roll_out: Program
) -> None:
    """With a limit of so many a second, nginx lets as many more pass in a row."""
    control = REPOSITORY / "deploy/ansible/roles/control/vars/main.yml"
    ranges = yaml.safe_load(control.read_text())["control_ranges"]
    asked: list[str] = []
    on.behaviour = lambda _, by, request: (
        asked.append(request) if by == "nginx" and clock.now == 0 else None
    )
    roll_out()
    assert len(asked) > 8
    assert len(asked) <= ranges["limit_requests_per_second"][0] + 1


def test_where_no_order_is_stored_yet_none_is_posted(
    on: FakeHost, roll_out: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    on.newest = None
    on.behaviour = INSERT_FAILS
    roll_out("bad")
    assert "no order is stored yet, so none could be posted again" in capsys.readouterr().out
    assert on.serves() == ("bad", "bad")
    assert on.stored == []


def test_a_page_that_lists_no_whole_orders_is_told(on: FakeHost, roll_out: Program) -> None:
    on.newest = {"order_id": 7}
    with pytest.raises(SystemExit, match=r"lists no whole orders: KeyError\('user_id'\)"):
        roll_out()
    on.assert_old_serves()


def test_a_release_without_figures_for_prometheus_is_never_switched_to(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    on.behaviour = misbehaving(FIGURES, 500)
    with pytest.raises(SystemExit, match=r"GET /metrics on port \d+ answered 500"):
        roll_out("bad")
    assert "reload" not in docker.did
    on.assert_old_serves()


@pytest.mark.parametrize("where", ["the service", "a worker"])
def test_a_release_that_fails_orders_is_taken_back(
    on: FakeHost, docker: FakeDocker, clock: Clock, roll_out: Program, where: str
) -> None:
    """Whichever container of it processes them; the former release completes them."""
    failing = page(completed=5, failed=8, timed_out=7)
    teller = "bad"
    if where == "a worker":
        docker.services, docker.healths = ["app", "worker"], {"worker": "healthy"}
        teller = "the worker of bad"
    on.figures = lambda asked: {teller: failing, "old": page(completed=1000)}.get(asked, "")
    with pytest.raises(SystemExit, match=r"15 of \d+ attempts at orders failed; .* share of 0.01"):
        roll_out("bad")
    assert clock.now < 10
    on.assert_old_serves()


@pytest.mark.parametrize(
    "new",
    [
        page(failed=1),
        page(completed=4, failed=5, rejected=4),
        page(completed=990, failed=19),
        page(completed=20, receiver_away=500, given_back=40, lost=30),
    ],
    ids=["one of one", "nine", "as chance has it", "nobody's failures"],
)
def test_few_failing_attempts_are_no_verdict(on: FakeHost, roll_out: Program, new: str) -> None:
    """With 1 % allowed, 10 of 1,009 are expected; 20 would be three deviations above that."""
    on.figures = told(old=page(completed=1000, rejected=1), new=new)
    roll_out()
    assert on.serves() == ("new", "new")


@pytest.mark.parametrize(("failing", "serves"), [(30, True), (45, False)])
def test_a_share_that_the_former_release_had_is_allowed(
    on: FakeHost, roll_out: Program, failing: int, serves: bool
) -> None:
    """5 % of all its attempts were rejected: of 500, that is 25, and at most 15 more by chance."""
    on.figures = told(
        old=page(completed=1900, rejected=100), new=page(completed=500 - failing, rejected=failing)
    )
    if serves:
        roll_out()
    else:
        with pytest.raises(SystemExit, match=r"a share of 0\.05"):
            roll_out()
    assert on.serves()[0] == ("new" if serves else "old")


@pytest.mark.parametrize(
    ("meanwhile", "serves"),
    [({"completed": 3, "failed": 40}, True), ({"completed": 40, "failed": 3}, False)],
)
def test_what_fails_for_the_former_release_just_now_is_not_the_new_ones_fault(
    on: FakeHost, clock: Clock, roll_out: Program, meanwhile: dict[str, int], serves: bool
) -> None:
    """As when the receiver is broken since a minute: the former one fails the same orders."""
    before = {"completed": 5000, "failed": 1}
    later = {result: count + meanwhile[result] for result, count in before.items()}

    def figures(release: str) -> str:
        if release == "old":
            return page(None, **(later if clock.now > 3 else before))
        return page(completed=2, failed=30 if clock.now > 3 else 0)

    on.figures = figures
    if serves:
        roll_out()
    else:
        with pytest.raises(SystemExit, match="30 of 32 attempts at orders failed"):
            roll_out()
    assert on.serves()[0] == ("new" if serves else "old")


@pytest.mark.parametrize(
    ("times", "factor", "serves"),
    [
        (SLOW, 3, False),
        (SLOW, 6, True),
        ({"GET /orders": {0.5: 0, math.inf: 19}}, 3, True),
        (USUAL, 3, True),
        ({"GET /other": SLOW["GET /orders"]}, 3, True),
    ],
    ids=["slow", "allowed", "few requests", "as fast", "a new route"],
)
def test_a_release_that_is_much_slower_is_taken_back(
    on: FakeHost, roll_out: Program, times: Times, factor: float, serves: bool
) -> None:
    """Half of its requests take more than three times of what nine of ten had taken, 0.1 s."""
    on.limits(bake_seconds=11, bake_slow_factor=factor)
    on.figures = told(old=page(USUAL), new=page(times))
    if serves:
        roll_out()
    else:
        said = (
            r"half of the requests to GET /orders took more than 0\.5 s; nine of ten had taken at"
            r" most 0\.1 s, and bake_slow_factor allows 3 times as much"
        )
        with pytest.raises(SystemExit, match=said):
            roll_out()
    assert on.serves()[0] == ("new" if serves else "old")


def test_slow_first_requests_are_no_slow_release(
    on: FakeHost, clock: Clock, roll_out: Program
) -> None:
    """They wait for connections to MySQL; all that come later are fast."""
    first: Times = {"GET /orders": {0.5: 0, math.inf: 25}}
    later: Times = {"GET /orders": {0.025: 400, 0.5: 400, math.inf: 425}}
    on.figures = lambda asked: page(USUAL if asked == "old" else later if clock.now > 3 else first)
    roll_out()
    assert on.serves() == ("new", "new")


def test_what_is_fast_enough_is_not_slow(on: FakeHost, roll_out: Program) -> None:
    """Twenty times slower, and still 50 ms."""
    fast: Times = {"GET /orders": {0.0025: 100, 0.05: 100, math.inf: 100}}
    slower: Times = {"GET /orders": {0.0025: 0, 0.025: 20, 0.05: 60, math.inf: 100}}
    on.figures = told(old=page(fast), new=page(slower))
    roll_out()
    assert on.serves() == ("new", "new")


@pytest.mark.usefixtures("clock")
def test_a_way_back_is_not_refused_for_what_is_only_worse(on: FakeHost) -> None:
    on.figures = told(old=page(USUAL, completed=1000), new=page(SLOW, failed=50))
    rollout.bring(rollout.Wanted("new", back=True))
    assert on.serves() == ("new", "new")


def test_a_former_release_that_does_not_tell_its_figures_stops_nothing(
    on: FakeHost, roll_out: Program
) -> None:
    on.behaviour = lambda release, _, request: (
        500 if (release, request) == ("old", FIGURES) else None
    )
    on.figures = told(new=page(SLOW, failed=50))
    roll_out()
    assert on.serves() == ("new", "new")


def test_the_former_release_is_asked_with_the_password_that_it_has(
    on: FakeHost, docker: FakeDocker, roll_out: Program
) -> None:
    """Its files have the next one already; the service was started with the one before."""
    docker.secrets["auth_password_previous"] = docker.secrets["auth_password"]
    docker.secrets["auth_password"] = "the next password"
    on.known_passwords = {"old": "the password"}
    on.figures = told(old=page(completed=1000), new=page(failed=50))
    with pytest.raises(SystemExit, match="50 of 50 attempts at orders failed"):
        roll_out()


@pytest.mark.parametrize("what", ["the service", "a worker"])
def test_what_is_not_ready_any_more_at_the_end_is_taken_back(
    on: FakeHost, docker: FakeDocker, clock: Clock, roll_out: Program, what: str
) -> None:
    docker.services, docker.healths = ["app", "worker"], {"worker": "healthy"}

    def breaks() -> None:
        if clock.now > 10 and what == "a worker":
            docker.containers["order-service-green-worker-1"].health = "unhealthy"
        elif clock.now > 10:
            on.behaviour = misbehaving("GET /readyz", 503)

    clock.on_sleep = breaks
    on.limits(bake_seconds=11, ready_seconds=20)
    with pytest.raises(SystemExit, match="bad did not get ready within 20 s"):
        roll_out("bad")
    on.assert_old_serves()

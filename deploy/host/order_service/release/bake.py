"""Watches a release after the switch: its answers, its attempts at orders, and its times."""

from __future__ import annotations

import math
import time
from contextlib import suppress

from order_service.host import CommandError, say
from order_service.release.answers import Answers
from order_service.release.limits import Limits
from order_service.release.measures import Figures, Meter
from order_service.release.smoke import Client

PATHS = ("/orders?limit=1", "/metrics")
# As many bad answers end the watch at once, if their share is too large.
BAD_AT_ONCE = 5
# Passes, a second each, between two looks at the figures: they cost more than the log.
FIGURES_EVERY = 5
# Fewer failing attempts say nothing. An order that fails is soon tried again, with the default
# delays three times in half a minute, so these are four orders or more.
FEWEST_FAILING = 10
DEVIATIONS = 3
# Fewer requests to a route say nothing, and what is answered so fast is slow for nobody.
FEWEST_REQUESTS = 20
FAST_SECONDS = 0.05
USUAL = 0.9


class Comparison:
    """Holds what a new release counts against the former's, while both run.

    Made before the new one is started.
    """

    def __init__(self, former: Meter, limits: Limits) -> None:
        self._former, self._limits = former, limits
        self._before = former.read()

    def judge(self, new: Meter) -> None:
        """Compare what has been counted until now.

        Raises:
            CommandError: the new release is worse; the text says in what.
        """
        try:
            figures = new.read()
        except CommandError:
            return  # in an overload, say: the smoke test has read them, and 5xx count by themselves
        self._judge_attempts(figures)
        for route, counts in figures.requests.items():
            self._judge_times(route, counts)

    def _judge_attempts(self, new: Figures) -> None:
        if new.failing < FEWEST_FAILING:
            return
        share = max(self._limits.bake_bad_share, *self._former_shares())
        expected = new.attempts * share
        if new.failing > expected + DEVIATIONS * math.sqrt(expected * (1 - share)):
            raise CommandError(
                f"{new.failing:g} of {new.attempts:g} attempts at orders failed;"
                f" the former release and bake_bad_share allow a share of {share:.3g}"
            )

    def _former_shares(self) -> tuple[float, float]:
        """Return the former's share of failing attempts: of all, and of those meanwhile.

        What fails just now for both, since a receiver is broken say, is not the new one's fault.
        """
        now = self._before
        with suppress(CommandError):
            now = self._former.read()
        return _share(self._before.attempts, self._before.failing), _share(
            *now.attempts_since(self._before)
        )

    def _judge_times(self, route: str, counts: dict[float, float]) -> None:
        """Have half of the requests take no longer than most did, times the factor."""
        former = self._before.requests.get(route, {})
        if min(counts[math.inf], former.get(math.inf, 0)) < FEWEST_REQUESTS:
            return
        usual = _bound(former, USUAL)
        allowed = max(FAST_SECONDS, usual * self._limits.bake_slow_factor)
        bound = min(most for most in counts if most >= allowed)
        if counts[bound] < counts[math.inf] / 2:
            raise CommandError(
                f"half of the requests to {route} took more than {bound:g} s; nine of ten had taken"
                f" at most {usual:g} s, and bake_slow_factor allows"
                f" {self._limits.bake_slow_factor:g} times as much"
            )


def _share(attempts: float, failing: float) -> float:
    """Return the share of failing attempts; none where there are too few to tell."""
    return failing / attempts if attempts >= FEWEST_FAILING else 0


def _bound(counts: dict[float, float], share: float) -> float:
    """Return within how many seconds that share of the requests was answered."""
    return min(most for most, count in counts.items() if count >= share * counts[math.inf])


def bake(
    client: Client,
    answers: Answers | None,
    comparison: Comparison | None,
    new: Meter,
    limits: Limits,
) -> None:
    """Watch a release for a while; what we ask ourselves counts where nobody else asks.

    Args:
        client: asks through nginx.
        answers: what nginx's log tells of this release; None where there is no nginx.
        comparison: with the former release, if there is anything to compare.
        new: what this release counts about itself.
        limits: for how long, and what is allowed.

    Raises:
        CommandError: it has to be taken back; the text says why.
    """
    deadline = time.monotonic() + limits.bake_seconds
    passes = 0
    ended = False
    while not ended:
        ended = time.monotonic() >= deadline
        if answers:
            for path in PATHS:
                client.ask("GET", path)
            answers.read()
            _judge_answers(answers, limits, ended=ended)
        passes += 1
        # Not at once: the first requests of a release wait for its connections to MySQL.
        if comparison and (ended or passes % FIGURES_EVERY == 0):
            comparison.judge(new)
        if not ended:
            time.sleep(1)
    said = f": {answers.all} answers, {answers.bad} of them 5xx" if answers else ""
    say(f"baked for {limits.bake_seconds:g} s{said}")


def _judge_answers(answers: Answers, limits: Limits, *, ended: bool) -> None:
    too_many = answers.bad > limits.bake_bad_share * answers.all
    if too_many and (ended or answers.bad >= BAD_AT_ONCE):
        raise CommandError(
            f"{answers.bad} of {answers.all} answers since the switch were 5xx;"
            f" allowed is a share of {limits.bake_bad_share:g}"
        )

"""How attempts end, and what that means for their orders."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from service.storage.attempts import AttemptResult
from service.storage.claims import Claim


class Verdict(Enum):
    """What becomes of an order after an attempt."""

    COMPLETE = "complete"
    RETRY = "retry"
    FAIL = "fail"
    GIVE_BACK = "give back"
    PUT_ASIDE = "put aside"


@dataclass(frozen=True, slots=True)
class Absence:
    """What is known of an attempt that met a receiver which is away.

    `retry_after` is for how many seconds the receiver wants to be left alone (0: it did not say),
    and `others_succeed` whether other attempts succeeded since this one had begun. `verdict` and
    `delay` hold if the attempt counts as a failed one: see `service.storage.absences`.
    """

    retry_after: float
    others_succeed: bool
    verdict: Verdict
    delay: float


# Not frozen, as a claim is not: there is one for each order.
@dataclass(slots=True)
class Result:
    """The end of an attempt.

    `seconds` is how long the handler took (0 when it did not begin), and `microseconds` the same
    for an attempt that completed its order; `delay` the seconds before a retry. An order that is
    given back or put aside gets its attempt back as well: neither is the order's fault. `worker` is
    who made the attempt, and `probe` says that it tried a receiver that was away.
    """

    claim: Claim
    verdict: Verdict
    microseconds: int = 0
    error: str | None = None
    delay: float = 0.0
    kind: AttemptResult = AttemptResult.COMPLETED
    seconds: float = 0.0
    worker: str | None = None
    probe: bool = False
    absence: Absence | None = None

    @property
    def shows_receiver(self) -> bool:
        """Whether the attempt has reached the receiver, whatever that answered."""
        return self.absence is None and self.kind in (
            AttemptResult.COMPLETED,
            AttemptResult.FAILED,
            AttemptResult.REJECTED,
        )

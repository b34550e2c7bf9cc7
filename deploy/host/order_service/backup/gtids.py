"""Sets of GTIDs, the numbers of transactions that are the same on each server that has them.

As MySQL writes them: `UUID:1-5:7,UUID:tag:1-3`, the UUID being the server's, or the group's, where
a transaction was committed first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Gtids:
    """A set of them; `|`, `-` and `<=` are those of sets."""

    # By UUID, or UUID and tag: first and last number, without overlaps, in their order.
    ranges: dict[str, Ranges] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> Gtids:
        """Return the set that MySQL has written, which may have broken its lines."""
        found: dict[str, list[tuple[int, int]]] = {}
        for part in (text or "").replace("\\n", "").split(","):
            source, *rest = part.strip().lower().split(":")
            key = source
            for one in rest:
                if one[0].isdigit():
                    first, _, last = one.partition("-")
                    found.setdefault(key, []).append((int(first), int(last or first)))
                else:
                    key = f"{source}:{one}"
        return cls({key: _merged(ranges) for key, ranges in found.items()})

    @property
    def sources(self) -> set[str]:
        """The UUIDs that it has numbers of."""
        return {key.partition(":")[0] for key in self.ranges}

    def __or__(self, other: Gtids) -> Gtids:
        keys = self.ranges.keys() | other.ranges.keys()
        return Gtids({key: _merged([*self._of(key), *other._of(key)]) for key in keys})

    def __sub__(self, other: Gtids) -> Gtids:
        left = {key: tuple(_without(self._of(key), other._of(key))) for key in self.ranges}
        return Gtids({key: ranges for key, ranges in left.items() if ranges})

    def __le__(self, other: Gtids) -> bool:
        return not (self - other).ranges

    def __str__(self) -> str:
        return ",".join(f"{key}:{_text(ranges)}" for key, ranges in sorted(self.ranges.items()))

    def _of(self, key: str) -> Ranges:
        return self.ranges.get(key, ())


def _merged(ranges: list[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _without(ranges: Ranges, others: Ranges) -> Iterator[tuple[int, int]]:
    for first, last in ranges:
        begin = first
        for other_first, other_last in others:
            if other_last < begin or other_first > last:
                continue
            if other_first > begin:
                yield begin, other_first - 1
            begin = other_last + 1
        if begin <= last:
            yield begin, last


def _text(ranges: Ranges) -> str:
    return ":".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)

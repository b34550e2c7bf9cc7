"""What a page says about the action that led to it. The address names it, and cannot hold more."""

from __future__ import annotations

from flask import request

from service.web.fields import LARGEST_ID, parse_integer

_TEXTS = {
    "retried": "{changed} put back, to be processed again.",
    "cancelled": "{changed} cancelled.",
    "nothing": "No order was selected.",
    "paused": "Processing pauses. What is in work goes on to its end.",
    "resumed": "Processing goes on.",
    "stopped": "The operation stops where it is. What it has changed stays.",
    "resent": "{events} will be delivered again.",
}
_SKIPPED = " {skipped} left alone: in another status by now."


def notice() -> str | None:
    """Return what the address says was done, or None."""
    text = _TEXTS.get(request.args.get("done", ""))
    if text is None:
        return None
    changed, skipped = (_count(name) for name in ("changed", "skipped"))
    if skipped:
        text += _SKIPPED
    return text.format(
        changed=_orders(changed),
        skipped=_orders(skipped),
        events="1 event" if changed == 1 else f"{changed} events",
    )


def _count(name: str) -> int:
    return parse_integer(request.args.get(name, "") or "0", LARGEST_ID) or 0


def _orders(count: int) -> str:
    return "1 order" if count == 1 else f"{count} orders"

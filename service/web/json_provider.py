"""JSON in which an amount stays a decimal in both directions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import simplejson
from flask.json.provider import JSONProvider


class DecimalJSONProvider(JSONProvider):
    """Reads numbers with a fraction or an exponent as Decimal, and writes Decimal as number."""

    def dumps(self, obj: Any, **_kwargs: Any) -> str:
        """Serialise to compact JSON."""
        return str(_ENCODER.encode(obj))

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        """Parse strict JSON in UTF-8.

        Raises:
            ValueError: it is not JSON, an object has a name twice, or a number is beyond reason.
        """
        text = s.decode("utf-8") if isinstance(s, bytes) else s
        try:
            return _DECODER.decode(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _parse_decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:
        raise ValueError("number out of range") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a field name stands twice")
    return names


# Made once: simplejson's own functions make one for each call.
_ENCODER = simplejson.JSONEncoder(use_decimal=True, separators=(",", ":"))
_DECODER = simplejson.JSONDecoder(
    parse_float=_parse_decimal,
    parse_constant=_refuse_constant,
    object_pairs_hook=_unique_names,
)

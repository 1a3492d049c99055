"""Quantities as Kubernetes reads them: `1`, `1000m`, `1e3m` and `1000000u` are the same amount. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal
from typing import Any, Final

_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40}))(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?\d{1,3}))?",
    re.ASCII,
)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", start=1)}
_EXACT: Final = Context(prec=2000)
_SMALLEST: Final = Decimal("1e-9")  # what is finer is rounded, away from zero


def amount(value: Any) -> Decimal | None:
    """What `value`, a text or a number, amounts to; None for what is no quantity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    found = _QUANTITY.fullmatch(str(value))
    if found is None:
        return None
    number, suffix = Decimal(found["number"]), found["suffix"] or ""
    exact = number.scaleb(int(found["exponent"] or 0) + _DECIMAL.get(suffix, 0), _EXACT)
    exact = _EXACT.multiply(exact, _BINARY.get(suffix, 1))
    return exact.quantize(_SMALLEST, ROUND_UP, _EXACT)

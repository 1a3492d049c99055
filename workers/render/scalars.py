"""What a YAML scalar means to kubectl: the rules of go-yaml v2, behind which sigs.k8s.io/yaml puts JSON.

They are YAML 1.1 with Go's numbers: `yes`, `y` and `on` are true, `0644` is 420, `1_000` is 1000, but
`1:30` and dates stay strings. Pure. https://github.com/yaml/go-yaml/blob/v2.4.4/resolve.go
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from decimal import Decimal
from typing import Final

Scalar = str | int | float | bool | None

INT64: Final = range(-(2**63), 2**63)
_UINT64: Final = range(2**64)

_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
}
_NUMERIC: Final = frozenset("+-0123456789")
_INT: Final = re.compile(
    r"([-+]?)(?:0[xX](?P<x>[0-9a-fA-F]+)|0[oO]?(?P<o>[0-7]+)|0[bB](?P<b>[01]+)|(?P<d>0|[1-9][0-9]*))\Z"
)
_BASES: Final = {"x": 16, "o": 8, "b": 2, "d": 10}
_LONGEST_INT: Final = 70  # 64 binary digits, a sign and a prefix: longer ones do not fit and cost time
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_POINT_FLOAT: Final = re.compile(r"\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+(_[0-9]+)*)?\Z")

_TAG: Final = "tag:yaml.org,2002:"


def plain(text: str) -> Scalar:
    """The value of an unquoted scalar. Integers are those of Go's int64 and uint64."""
    try:
        return _WORDS[text]
    except KeyError:
        first = text[0]
    if first in _NUMERIC:
        return _number(text)
    if first == "." and _POINT_FLOAT.match(text):
        return _finite(text.replace("_", ""), text)
    return text


def tagged(tag: str, text: str) -> Scalar:
    """The value of a scalar with an explicit tag. Raises ValueError when the text is none of that type."""
    kind = tag.removeprefix(_TAG) if tag.startswith(_TAG) else ""
    match kind:
        case "binary":
            try:
                return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise ValueError("is !!binary, but not base64 of a UTF-8 text") from error
        case "null" | "bool" | "int" | "float":
            value = plain(text)
            found = "null" if value is None else type(value).__name__
            if found == kind:
                return value
            if kind == "float" and type(value) is int and value in INT64:
                return float(value)
            raise ValueError(f"is tagged !!{kind} and is a {found}")
        case _:
            return text  # !!str, !!timestamp, and tags of one's own


def on_the_wire(value: int | float) -> int | float:
    """A number as Kubernetes keeps it after a round through Go's JSON: an int64, or else a float64.

    Floats that are whole become integers where they fit. Raises ValueError for infinity and NaN.
    """
    if isinstance(value, int):
        return value if value in INT64 else float(value)
    if not math.isfinite(value):
        raise ValueError("is not a number that JSON can hold")
    if value.is_integer() and abs(value) < 1e21:
        whole = int(Decimal(repr(value)))  # the shortest digits, as Go prints them
        return whole if whole in INT64 else value
    return value


def key(value: Scalar) -> str:
    """A mapping's key as the JSON key it becomes. Raises ValueError where kubectl knows none."""
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value in INT64:
        return str(value)
    if isinstance(value, float):
        return _float_key(value)
    raise ValueError("null cannot be a key" if value is None else "cannot be a key: quote it")


def _number(text: str) -> Scalar:
    digits = text.replace("_", "")
    if len(digits) <= _LONGEST_INT and (found := _INT.match(digits)):
        base = str(found.lastgroup)
        whole = int(found[base], _BASES[base])
        if found[1] == "-":
            whole = -whole
        if whole in INT64 or (not found[1] and whole in _UINT64):
            return whole
    return _finite(digits, text) if _FLOAT.match(digits) else text


def _finite(digits: str, text: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else text  # Go cannot parse it, so it stays a string


def _float_key(value: float) -> str:
    # strconv.FormatFloat(value, 'g', -1, 32): the shortest digits that give the same 32-bit float.
    try:
        short = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        short = math.copysign(math.inf, value)
    if not math.isfinite(short):
        return ".nan" if math.isnan(short) else ".inf" if short > 0 else "-.inf"
    digits = next(
        text
        for precision in range(9)
        if struct.unpack("f", struct.pack("f", float(text := f"{short:.{precision}e}")))[0] == short
        or precision == 8
    )
    mantissa, _, exponent = digits.partition("e")
    power = int(exponent)
    if -4 <= power < 6:
        return f"{Decimal(digits):f}"
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"

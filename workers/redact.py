"""Masks: what leaves the workers for people to read (read models, diffs, errors, logs) holds no secret value.

A mask says whether two values of one key are equal, and nothing else: not a length, not a hash.
"""

from __future__ import annotations

import base64
import binascii
import copy
from typing import Any, Final

import orjson

from mooring.names import LAST_APPLIED

MASK: Final = "++++++++"
_LONGER: Final = "++++"


def masked(body: dict[str, Any]) -> dict[str, Any]:
    """`body` as people may see it: when it is a Secret, a copy without its values; otherwise itself."""
    return masked_together(body)[0]


def masked_together(*bodies: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Versions of one object (wanted, live …), masked so that a diff of the results is still true.

    Of each key, the first value met becomes eight plus signs, each further *different* one four more, as
    Argo CD shows them; equal values have equal masks, be they in `data`, `stringData` or the last-applied
    annotation. Bodies that are no Secrets come back as they are; none is changed in place.
    """
    masks = _Masks()
    return tuple(_masked_secret(body, masks) if _is_secret(body) else body for body in bodies)


class _Masks:
    """Which mask stands for which value, key by key."""

    def __init__(self) -> None:
        self._of: dict[str, dict[bytes, str]] = {}

    def of(self, key: str, value: bytes) -> str:
        known = self._of.setdefault(key, {})
        return known.setdefault(value, MASK + _LONGER * len(known))


def _is_secret(body: dict[str, Any]) -> bool:
    # Anything named so that is not clearly of another group: showing too little is the lesser harm.
    return body.get("kind") == "Secret" and "/" not in str(body.get("apiVersion", ""))


def _masked_secret(body: dict[str, Any], masks: _Masks) -> dict[str, Any]:
    shown = copy.deepcopy(body)
    # The API server lets stringData win over data, so it does not matter which is masked first.
    for field, plain in (("data", _decoded), ("stringData", _as_is)):
        values = shown.get(field)
        if isinstance(values, dict):
            shown[field] = {key: masks.of(str(key), plain(value)) for key, value in values.items()}
        elif values is not None:
            shown[field] = MASK
    metadata = shown.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(annotations, dict) and LAST_APPLIED in annotations:
        annotations[LAST_APPLIED] = _masked_annotation(annotations[LAST_APPLIED], masks)
    return shown


def _masked_annotation(text: Any, masks: _Masks) -> str:
    """The last-applied configuration with its values masked; all of it when it cannot be read."""
    try:
        applied = orjson.loads(text)
    except orjson.JSONDecodeError:
        return MASK
    if not isinstance(applied, dict):
        return MASK
    return orjson.dumps(_masked_secret(applied, masks)).decode()


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str):
        return _as_is(value)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return _as_is(value)


def _as_is(value: Any) -> bytes:
    return (value if isinstance(value, str) else repr(value)).encode("utf-8", "surrogatepass")

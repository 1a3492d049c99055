"""Masks: what leaves the workers for people to read (read models, diffs, errors, logs) holds no secret value.

A mask says whether two values of one key are equal, and nothing else: not a length, not a hash.
"""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

import orjson

from mooring.names import LAST_APPLIED

MASK: Final = "++++++++"
_LONGER: Final = "++++"
# A line of a multi-line secret (a PEM key) is itself a secret, unless it is too short to tell anything.
_TELLING_LINE: Final = 8


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


def mask_text(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`, nor their base64 or URL-quoted forms, nor their single long lines."""
    found = sorted(
        (at, at + len(form))
        for form in {form for secret in secrets for form in _forms(secret)}
        for at in _places(text, form)
    )
    parts, kept_from = [], 0
    for start, end in found:
        # Occurrences that overlap are one: masking them one by one would leave the rest of the second.
        if start >= kept_from:
            parts += [text[kept_from:start], MASK]
        kept_from = max(kept_from, end)
    return "".join([*parts, text[kept_from:]])


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


def _forms(secret: str) -> Iterator[str]:
    """How `secret` may appear in a message; never an empty string."""
    whole = secret.strip()
    if not whole:
        return
    raw = secret.encode("utf-8", "surrogatepass")
    yield whole
    yield quote(whole.encode("utf-8", "surrogatepass"), safe="")
    yield base64.b64encode(raw).decode()
    yield base64.b64encode(raw.strip()).decode()
    yield from (line.strip() for line in whole.splitlines() if len(line.strip()) >= _TELLING_LINE)


def _places(text: str, form: str) -> Iterator[int]:
    at = text.find(form)
    while at >= 0:
        yield at
        at = text.find(form, at + 1)

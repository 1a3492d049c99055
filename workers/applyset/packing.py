"""JSON inside a ConfigMap: readable while it is small, compressed when it would not fit any more."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

# A ConfigMap holds 1 MiB: https://kubernetes.io/docs/concepts/configuration/configmap/#motivation
COMPRESS_ABOVE: Final = 500 * 1024  # bytes
LARGEST: Final = 64 * 1024 * 1024  # bytes, unpacked: a few kilobytes can pretend to be a terabyte


def pack(name: str, value: Any) -> dict[str, dict[str, str | None]]:
    """`data` and `binaryData` of a merge patch that makes `name` hold the JSON of `value`.

    Exactly one of the two fields holds it, the other is removed. None removes both.
    """
    text = binary = None
    if value is not None:
        encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        if len(encoded) <= COMPRESS_ABOVE:
            text = encoded.decode()
        else:
            binary = base64.b64encode(zlib.compress(encoded)).decode()
    return {"data": {name: text}, "binaryData": {name: binary}}


def unpack(name: str, body: Mapping[str, Any]) -> Any | None:
    """What `pack` put under `name` of the ConfigMap `body`; None when there is nothing of that name.

    Raises ValueError saying what is wrong with what is there.
    """
    text = (body.get("data") or {}).get(name)
    binary = (body.get("binaryData") or {}).get(name)
    if text is None and binary is None:
        return None
    if text is not None and binary is not None:
        raise ValueError(f"both data.{name} and binaryData.{name} are there")
    try:
        return orjson.loads(_inflated(binary) if binary is not None else text or "")
    except (orjson.JSONDecodeError, binascii.Error, zlib.error) as error:
        raise ValueError(f"{name} is garbled: {error}") from error


def _inflated(binary: str) -> bytes:
    inflater = zlib.decompressobj()
    found = inflater.decompress(base64.b64decode(binary, validate=True), LARGEST)
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError("it is cut short, or larger than anything that was ever written")
    return found

"""What a render gave, as JSON: to be kept, and to be the same again."""

from __future__ import annotations

import zlib
from typing import Any, Final

import orjson

from mooring.keys import ObjectKey
from workers.render.manifest import Manifest

_MOST: Final = 256 << 20  # bytes that what is kept may have unpacked


def packed(value: Any) -> bytes:
    """Any JSON value, compressed."""
    return zlib.compress(orjson.dumps(value), 1)


def unpacked(data: bytes) -> Any:
    """Inverse of `packed`. Raises ValueError on anything else."""
    reader = zlib.decompressobj()
    try:
        text = reader.decompress(data, _MOST)
    except zlib.error as error:
        raise ValueError("not packed") from error
    if not reader.eof:
        raise ValueError("not packed whole, or too large")
    return orjson.loads(text)


def manifests_to_json(manifests: tuple[Manifest, ...]) -> list[Any]:
    return [[*_key(one.key), one.api_version, one.body, one.path, one.line] for one in manifests]


def manifests_from_json(data: Any) -> tuple[Manifest, ...]:
    """Inverse of `manifests_to_json`. Raises TypeError or ValueError on anything else."""
    return tuple(
        Manifest(ObjectKey(group, kind, namespace, name), api_version, body, path, line)
        for group, kind, namespace, name, api_version, body, path, line in data
    )


def _key(key: ObjectKey) -> tuple[str, str, str, str]:
    return key.group, key.kind, key.namespace, key.name

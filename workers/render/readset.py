"""What a render read, so that a push that changes none of it costs no render (DESIGN, mechanism 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class ReadSet:
    """Everything a render depends on. Two equal read-sets give the same manifests.

    `paths` pairs each path that was read, or looked for, with the Git id that was there, or None where
    nothing was; sorted. `inputs` is a digest of all that is not in Git: parameters and versions.
    """

    inputs: str
    paths: tuple[tuple[str, str | None], ...]

    @classmethod
    def of(cls, inputs: Any, paths: dict[str, str | None]) -> ReadSet:
        """`inputs` is any JSON value."""
        return cls(_digest(inputs), tuple(sorted(paths.items())))

    @property
    def key(self) -> str:
        """A digest of the whole: 32 hexadecimal digits."""
        return _digest([self.inputs, self.paths])

    def at(self, tree_id: Callable[[str, str], str | None], commit: str) -> ReadSet:
        """The same paths as they are at `commit`: equal to this one when nothing that was read changed."""
        return ReadSet(self.inputs, tuple((path, tree_id(commit, path)) for path, _ in self.paths))

    def to_json(self) -> dict[str, Any]:
        return {"inputs": self.inputs, "paths": dict(self.paths)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ReadSet:
        """Inverse of `to_json`. Raises KeyError or AttributeError on anything else."""
        return cls(data["inputs"], tuple(sorted(data["paths"].items())))


def remember(read_set: ReadSet) -> str:
    """As text, to be kept with the application."""
    return orjson.dumps(read_set.to_json()).decode()


def recall(text: str) -> ReadSet:
    """Inverse of `remember`. Raises ValueError on anything else."""
    try:
        return ReadSet.from_json(orjson.loads(text))
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError("not a read-set") from error


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]

"""What a render read, so that a push that changes none of it costs no render (DESIGN, mechanism 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class ReadSet:
    """Everything that the render of one source depends on. Two equal read-sets give the same manifests.

    `paths` pairs each path that was read, or looked for, with the Git id that was there, or None where
    nothing was; `remotes` pairs the address of whatever was fetched from elsewhere with its digest; both
    sorted. `inputs` is a digest of all that is not a file: options, versions, capabilities.
    """

    inputs: str
    paths: tuple[tuple[str, str | None], ...]
    remotes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls, inputs: Any, paths: Mapping[str, str | None], remotes: Mapping[str, str] | None = None
    ) -> ReadSet:
        """`inputs` is any JSON value."""
        return cls(_digest(inputs), tuple(sorted(paths.items())), tuple(sorted((remotes or {}).items())))

    @property
    def key(self) -> str:
        """A digest of the whole: 32 hexadecimal digits."""
        return _digest([self.inputs, self.paths, self.remotes])

    def at(self, tree_id: Callable[[str, str], str | None], commit: str) -> ReadSet:
        """The same paths as they are at `commit`: equal to this one when nothing that was read changed."""
        return ReadSet(
            self.inputs, tuple((path, tree_id(commit, path)) for path, _ in self.paths), self.remotes
        )

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"inputs": self.inputs, "paths": dict(self.paths)}
        return told | {"remotes": dict(self.remotes)} if self.remotes else told

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ReadSet:
        """Inverse of `to_json`. Raises KeyError, TypeError or AttributeError on anything else."""
        return cls(
            data["inputs"],
            tuple(sorted(data["paths"].items())),
            tuple(sorted(data.get("remotes", {}).items())),
        )


def remember(read_sets: Sequence[ReadSet]) -> str:
    """As text, to be kept with the application: one read-set a source."""
    return orjson.dumps([read_set.to_json() for read_set in read_sets]).decode()


def recall(text: str) -> tuple[ReadSet, ...]:
    """Inverse of `remember`. Raises ValueError on anything else."""
    try:
        return tuple(ReadSet.from_json(each) for each in orjson.loads(text))
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError("not read-sets") from error


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]

"""What a render read, so that a push that changes none of it costs no render (DESIGN, mechanism 4)."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from workers.digest import digest

COMMIT: Final = "/"  # among paths: the commit itself, where a render names it; nothing in Git is called so
_BESIDES_PATH: Final = 52  # characters of one path's line in a text inside a text: its id, quotes, commas


@dataclass(frozen=True, slots=True)
class ReadSet:
    """Everything that the render of one source depends on. Two equal read-sets give the same manifests.

    `paths` pairs each path that was read, or looked for, with the Git id that was there, or None where
    nothing was, and COMMIT with the commit where the manifests name it; `remotes` pairs the address of
    whatever was fetched from elsewhere with its digest; both sorted. `inputs` is a digest of all that is not
    a file: options, versions, capabilities.
    """

    inputs: str
    paths: tuple[tuple[str, str | None], ...]
    remotes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls, inputs: Any, paths: Mapping[str, str | None], remotes: Mapping[str, str] | None = None
    ) -> ReadSet:
        """`inputs` is any JSON value."""
        return cls(digest(inputs), tuple(sorted(paths.items())), tuple(sorted((remotes or {}).items())))

    @property
    def key(self) -> str:
        """A digest of the whole: 32 hexadecimal digits."""
        return digest([self.inputs, self.paths, self.remotes])

    def at(self, tree_id: Callable[[str, str], str | None], commit: str) -> ReadSet:
        """The same paths as they are at `commit`: equal to this one when nothing that was read changed."""
        return ReadSet(
            self.inputs,
            tuple((path, commit if path == COMMIT else tree_id(commit, path)) for path, _ in self.paths),
            self.remotes,
        )

    def holds(self, ids: Mapping[str, str | None]) -> bool:
        """Whether `ids`, which has all its paths, has for each what was there."""
        return all(ids[path] == id_ for path, id_ in self.paths)

    def within(self, characters: int, ids: Callable[[Collection[str]], Mapping[str, str | None]]) -> ReadSet:
        """The same in no more than about so many characters of text, to be kept with an application.

        What is in a directory that was read goes without saying; where that is not enough, more directories
        stand for what was read in them, with the ids that `ids` gives. So it changes whenever this one
        does, and perhaps more often.
        """
        known = dict(self.paths)
        paths = without_implied(known)
        while sum(len(path) + _BESIDES_PATH for path in paths) > characters and (
            left := paths - {"", COMMIT}
        ):
            deepest = max(map(_depth, left))
            above = {posixpath.dirname(path) if _depth(path) == deepest else path for path in left}
            paths = without_implied(above | (paths - left))
        known |= ids([path for path in paths if path not in known])
        return replace(self, paths=tuple((path, known[path]) for path in sorted(paths)))

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


def without_implied(paths: Collection[str]) -> set[str]:
    """`paths` without those below another one: a directory's id changes with whatever is in it, and with
    what appears in it. Only a directory can have others below it."""
    kept: set[str] = set()
    for path in sorted(set(paths) - {COMMIT}, key=_depth):
        steps = path.split("/")
        above = ("/".join(steps[:n]) for n in range(len(steps)))
        if not path or not any(one in kept for one in above):
            kept.add(path)
    return kept | ({COMMIT} & set(paths))


def _depth(path: str) -> int:
    return path.count("/") + 1 if path else 0

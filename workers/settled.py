"""Objects that surely are as Git wants them, told by what is there alone, where nothing remembers an apply.

An apply sets what the manifest says and removes what only our last apply had said. Where the live object has
every value of the manifest, and our entry of its managedFields owns those fields and no other, there is
nothing to set and nothing to remove. Whatever cannot be told so is left to the API server. Pure.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from workers.cluster.live import Live
from workers.desired import Desired
from workers.foreign import drift
from workers.ignore.paths import Fields, children, named
from workers.plan import Plan, Step, Verb

# What identifies an object, or what only the server sets, is not owned by anybody.
_NOT_OWNED: Final = frozenset(("name", "namespace", "creationTimestamp"))


def settled(item: Desired, live: Live) -> bool:
    """Whether an apply of `item` would change nothing of `live`, which has its body; False where that cannot
    be told. Only a webhook or policy of the cluster that came since could see it otherwise."""
    ours = live.manager_entry()
    if ours is None or live.body is None or item.writer != "apply":
        return False
    versions = {ours.get("apiVersion"), live.kind.api_version, item.kind.api_version}
    if item.options.replace or len(versions) != 1:
        return False
    if drift(item, live):
        return False
    return _same(_owned(item.body), _owned(live.body), ours.get("fieldsV1") or {})


def without_settled(found: Plan) -> Plan:
    """`found` with the writes that surely change nothing among what is kept."""
    kept = [step for group in found.writes for step in group if _is_settled(step)]
    if not kept:
        return found
    keys = {step.key for step in kept}
    left = (tuple(step for step in group if step.key not in keys) for group in found.writes)
    return replace(
        found,
        writes=tuple(group for group in left if group),
        kept=(*found.kept, *(replace(step, verb=Verb.KEEP) for step in kept)),
    )


def _is_settled(step: Step) -> bool:
    return step.live is not None and step.desired is not None and settled(step.desired, step.live)


def _owned(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an object that somebody owns."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in _NOT_OWNED}
    return {**{k: v for k, v in body.items() if k not in ("apiVersion", "kind")}, "metadata": metadata}


def _same(git: Any, live: Any, fields: Fields) -> bool:
    """Whether `live` has what `git` has, which is just what `fields` own."""
    below = children(fields)
    if not below:
        return _equal(git, live)
    if isinstance(git, Mapping) and isinstance(live, Mapping):
        names = {name.removeprefix("f:"): node for name, node in below.items() if name.startswith("f:")}
        return (
            len(names) == len(below)
            and names.keys() == git.keys() <= live.keys()
            and all(_same(git[name], live[name], node) for name, node in names.items())
        )
    if isinstance(git, list) and isinstance(live, list):
        return _same_items(git, live, below)
    return False


def _same_items(git: list[Any], live: list[Any], below: Fields) -> bool:
    found: list[tuple[int, int, Fields]] = []
    for name, node in below.items():
        mine, theirs = named(name, git), named(name, live)
        if mine is None or theirs is None or named(name, live[int(theirs) + 1 :]) is not None:
            return False  # of two that have one name an apply leaves one
        found.append((int(mine), int(theirs), node))
    found.sort(key=lambda pair: pair[:2])
    places = [at for _, at, _ in found]
    # Those that are there in another order may be put in that of Git.
    in_order = [at for at, _, _ in found] == list(range(len(git))) and places == sorted(set(places))
    return in_order and all(_same(git[mine], live[theirs], node) for mine, theirs, node in found)


def _equal(git: Any, live: Any) -> bool:
    """Whether they are the same as JSON, where 1 is neither true nor 1.0."""
    try:
        return orjson.dumps(git, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
            live, option=orjson.OPT_SORT_KEYS
        )
    except TypeError:  # an integer of more than 64 bits
        return False

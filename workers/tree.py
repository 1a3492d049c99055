"""An app's objects with all that has come of them: ReplicaSets, Pods, EndpointSlices, claims … Pure.

Who owns whom is what objects say of themselves, which anybody may write: each object is in the tree once,
below one that it may belong to, whatever circles are claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mooring.keys import ObjectKey
from mooring.model.status import ResourceStatus
from workers.cluster.live import Live
from workers.health import Health, HealthStatus, Judge
from workers.kin import Kin

DEEPEST: Final = 16  # an operator's object, its Deployment, ReplicaSet, Pod: that is four


@dataclass(frozen=True, slots=True)
class Node:
    """An object and what it owns, by kind and name. `status` is how an object of the app compares with Git,
    "" for all below; `health` None where the kind has none. `deeper` counts what it owns beyond DEEPEST."""

    key: ObjectKey
    status: str
    health: Health | None
    children: tuple[Node, ...] = ()
    deeper: int = 0


def tree(resources: Sequence[ResourceStatus], objects: Iterable[Live], judge: Judge) -> tuple[Node, ...]:
    """The objects that an app's status names, in its order, each with all of `objects` that they own.

    An app's own object is never shown below another. What has several owners is shown below its controller
    where that is in the tree no deeper than others, else below the first that it names. Kinds that `judge`
    judges need whole objects.
    """
    objects = tuple(objects)
    by_key = {live.key: live for live in objects}
    status = {one.key: one.status for one in resources}
    tops = [by_key[key] for key in status if key in by_key]
    below, deeper = _placed(tops, objects)

    def node(live: Live) -> Node:  # as deep as _placed goes at most
        children = tuple(node(child) for child in below.get(live.uid, ()))
        health = judge.assess(live.body) if live.body is not None else None
        return Node(live.key, status.get(live.key, ""), health, children, deeper.get(live.uid, 0))

    missing = Health(HealthStatus.MISSING)
    return tuple(
        node(by_key[key]) if key in by_key else Node(key, word, missing) for key, word in status.items()
    )


def _placed(
    tops: Sequence[Live], objects: Sequence[Live]
) -> tuple[Mapping[str, list[Live]], Mapping[str, int]]:
    """By uid: what is shown below an object, and how much is not, because it is too deep."""
    kin = Kin(objects)
    owners = {live.uid: kin.owners(live) for live in objects}
    owned: dict[str, list[Live]] = {}
    for live in objects:
        for owner in owners[live.uid]:
            owned.setdefault(owner.uid, []).append(live)
    placed, level = {live.uid for live in tops}, list(tops)
    below: dict[str, list[Live]] = {}
    for _ in range(DEEPEST):
        found = {
            child.uid: child for live in level for child in owned.get(live.uid, ()) if child.uid not in placed
        }
        level = sorted(found.values(), key=lambda live: live.key)
        for child in level:  # beside each other none is another's parent: so there are no circles
            parent = next(owner for owner in owners[child.uid] if owner.uid in placed)
            below.setdefault(parent.uid, []).append(child)
        placed |= found.keys()
    deeper: dict[str, int] = {}
    for live in level:
        if count := sum(child.uid not in placed for child in owned.get(live.uid, ())):
            deeper[live.uid] = count
    return below, deeper

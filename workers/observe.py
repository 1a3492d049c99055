"""What a cluster has of one app: one LIST a kind by our label, one GET for whatever that did not show."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from mooring.errors import ClusterRefused, MooringError
from mooring.keys import ObjectKey
from mooring.model.status import ResourceStatus
from mooring.names import APPLYSET_PART_OF
from workers.apps.fresh import MAX_AGE
from workers.cluster.api import NAMESPACE, Api
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.desired import CRD, Desired
from workers.health import BUILT_IN, HealthStatus, Judge
from workers.threads import together

_DEFINITIONS: Final = Kind(CRD[0], "v1", CRD[1], "customresourcedefinitions", namespaced=False)
FindPreferred = Callable[[str, str], Kind | None]
Place = tuple[Kind, str]  # a kind in one namespace or (empty) in all


@dataclass(frozen=True, slots=True)
class Observed:
    """`objects` were seen; `absent` were looked for and are certainly not there. Anything else is unknown.
    `nowhere` are namespaces that do not exist."""

    objects: Mapping[ObjectKey, Live] = field(default_factory=dict)
    absent: frozenset[ObjectKey] = frozenset()
    nowhere: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Begun:
    """A LIST that was begun at `at`, before it was known what Git wants."""

    found: Future[tuple[Live, ...]]
    at: float

    @property
    def fresh(self) -> bool:
        return monotonic() - self.at <= MAX_AGE


def begin(
    api: Api, executor: Executor, had: Iterable[ResourceStatus], applyset: str, judge: Judge = BUILT_IN
) -> Mapping[Place, Begun]:
    """Ask for the kinds of what an app `had` when it was last looked at, for these seldom change: so the API
    server answers while Git does. Raises nothing: whoever observes finds out what is wrong."""
    namespaces: dict[tuple[str, str], set[str]] = {}
    for one in had:
        if not one.hook and not (one.health and one.health.status == HealthStatus.MISSING):
            namespaces.setdefault((one.api_version, one.kind), set()).add(one.namespace)
    begun: dict[Place, Begun] = {}
    with contextlib.suppress(MooringError):
        for name, spread in namespaces.items():
            if (kind := api.discovery.find(*name)) is not None:
                place = kind, _only(spread)
                begun[place] = Begun(executor.submit(_listed, api, place, applyset, judge), monotonic())
    return begun


def observe(
    api: Api,
    executor: Executor,
    wanted: Sequence[Desired],
    inventory: Iterable[ObjectKey],
    find: FindPreferred,
    applyset: str,
    begun: Mapping[Place, Begun] | None = None,
    judge: Judge = BUILT_IN,
    *,
    whole: bool = False,
    nowhere: frozenset[str] | None = None,
) -> Observed:
    """Everything the cluster has of the objects `wanted`, those in `inventory`, and others with our label.

    `find(group, kind)` gives the version to read a kind in; objects of kinds that `judge` judges are read
    whole, all of them where `whole` says so, and then as they are now instead of as the cache has them; what
    was `begun` and is not a second old yet is not asked again. `nowhere` is what `not_there` has said, None
    to ask at the first look. Raises ClusterUnavailable or ClusterRefused when any request fails: a list cut
    short must never look like objects that are gone.
    """
    inventory = tuple(inventory)
    if nowhere is None:
        # Else a namespace that is gone would cost one more request each time.
        nowhere = frozenset() if inventory else not_there(api, executor, wanted)
    kinds: dict[tuple[str, str], Kind] = {}
    keys: dict[tuple[str, str], set[ObjectKey]] = {}
    absent: set[ObjectKey] = set()
    serves: frozenset[tuple[str, str]] | None = None  # asked only when a kind is not served
    for item in wanted:
        if item.served and item.key.namespace not in nowhere:
            kinds[(item.key.group, item.key.kind)] = item.kind
            keys.setdefault((item.key.group, item.key.kind), set()).add(item.key)
        else:
            absent.add(item.key)
    for key in inventory:
        name = (key.group, key.kind)
        if key in absent:
            continue
        if name not in kinds:
            kind = find(*name)
            if kind is None:
                # A server that has just started answers before it serves its custom resources: their
                # objects are gone only when their definition is.
                serves = defined(api) if serves is None else serves
                if name not in serves:
                    absent.add(key)
                continue
            kinds[name] = kind
        keys.setdefault(name, set()).add(key)

    def listing(name: tuple[str, str]) -> Future[tuple[Live, ...]]:
        place = kinds[name], _only({key.namespace for key in keys[name]})
        known = (begun or {}).get(place)
        if known and known.fresh:
            return known.found
        return executor.submit(_listed, api, place, applyset, judge, whole)

    objects: dict[ObjectKey, Live] = {}
    for found in [listing(name) for name in kinds]:
        objects.update((live.key, live) for live in found.result())

    def got(key: ObjectKey) -> Live | None:
        name = (key.group, key.kind)
        metadata_only = not (whole or judge.judges(*name))
        return api.get(kinds[name], key.namespace, key.name, metadata_only=metadata_only)

    unseen = [key for name in kinds for key in sorted(keys[name]) if key not in objects]
    for key, live in zip(unseen, together(executor, got, unseen), strict=True):
        if live is None:
            absent.add(key)
        else:
            objects[key] = live
    return Observed(objects, frozenset(absent), nowhere)


def _only(namespaces: set[str]) -> str:
    """The namespace to list in; "" (all) where there are several."""
    return next(iter(namespaces)) if len(namespaces) == 1 else ""


def _listed(api: Api, place: Place, applyset: str, judge: Judge, whole: bool = False) -> tuple[Live, ...]:
    kind, namespace = place
    # What has changed since the cache saw it is found out by the guard of the write.
    small = not (whole or judge.judges(kind.group, kind.kind))
    selector = f"{APPLYSET_PART_OF}={applyset}"
    return api.list(kind, namespace, selector, metadata_only=small, cached=not whole)


def not_there(api: Api, executor: Executor, wanted: Sequence[Desired]) -> frozenset[str]:
    """The namespaces of `wanted` that do not exist: nothing is in them, and no object need be asked for."""

    def there(name: str) -> bool:
        try:  # one that came since is found out by the guards of what is created there
            return api.get(NAMESPACE, "", name, metadata_only=True, since="0") is not None
        except ClusterRefused:  # who may not ask that asks for the objects
            return True

    names = sorted({item.key.namespace for item in wanted if item.key.namespace})
    return frozenset(
        name for name, found in zip(names, together(executor, there, names), strict=True) if not found
    )


def defined(api: Api) -> frozenset[tuple[str, str]]:
    """Group and kind of every CustomResourceDefinition, served or not yet."""
    bodies = [live.body or {} for live in api.list(_DEFINITIONS)]
    return frozenset((body["spec"]["group"], body["spec"]["names"]["kind"]) for body in bodies)

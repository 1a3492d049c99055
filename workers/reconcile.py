"""The full reconciliation: one LIST a kind proves all apps at once (DESIGN, mechanism 8).

Whoever lacks proof is looked at, as a whole, by a turn of its own. Nothing is concluded here but that there
is nothing to do: whatever is in doubt is looked at.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from mooring.errors import MooringError, Refused
from mooring.keys import AppKey, ClusterRef, ObjectKey
from mooring.model.application import Application
from mooring.names import APPLYSET_PART_OF, HOOKS
from mooring.store.proofs import Proof
from workers import orphans, report, tell
from workers.applyset.parent import Parent
from workers.applyset.store import Listed
from workers.apps.patches import overdue
from workers.basis import basis, ground
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.clusters.there import there
from workers.engine import Engine
from workers.health import Judge
from workers.impersonation import account_of
from workers.links import external_urls
from workers.proof import due_again, proves
from workers.schema.identity import identities, read_by
from workers.threads import apart, leave

_log = logging.getLogger(__name__)
_PATIENCE_S: Final = 1.0  # with all other clusters together


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An app of which nothing but its objects can have changed. `kinds` are theirs, `user` writes it."""

    app: Application
    parent: Parent
    kinds: Mapping[ObjectKey, Kind]
    user: str


def look_at(
    engine: Engine,
    apps: Sequence[Application],
    inventories: Listed,
    found: Callable[[Iterable[AppKey]], None],
) -> None:
    """Have `found` told, also from other threads, which of `apps` are to be looked at: who is not proved, and
    who has other orphans than it says.

    Each cluster for itself and as soon as it has answered. None is waited for long: one that takes its time
    is left to a thread of its own, since the process has the looks at the apps of all others to do. All that
    are deployed to one that cannot be asked are to be looked at. Raises nothing of clusters.
    """
    groups: dict[ClusterRef | None, list[Application]] = {}
    for app in apps:
        try:
            cluster = engine.clusters.ref(app.spec.destination)
        except MooringError as error:  # of the Secrets that tell
            _log.info("application %s is looked at by itself: %s", app.key, error)
            found([app.key])
        else:
            groups.setdefault(cluster, []).append(app)
    home = groups.pop(engine.api.cluster, [])
    begun = list[Future[None]]()
    for cluster, group in groups.items():
        with contextlib.suppress(RuntimeError):  # no thread can be begun: the next reconciliation may
            begun.append(apart(partial(_alone, engine, cluster, group, inventories, found)))
    if home:
        found(_there(engine, home, inventories))
    leave(begun, _PATIENCE_S)


def _alone(
    engine: Engine,
    cluster: ClusterRef | None,
    apps: Sequence[Application],
    inventories: Listed,
    found: Callable[[Iterable[AppKey]], None],
) -> None:
    """`found` with those of one cluster, unless an earlier reconciliation still asks that."""
    with engine.clusters.only_once(f"look at {cluster}") as mine:
        if mine:
            found(_there(engine, apps, inventories))


def _there(engine: Engine, apps: Sequence[Application], inventories: Listed) -> Iterator[AppKey]:
    """Those of apps of one cluster."""
    try:
        engine = there(engine, apps[0])
    except MooringError:  # each says so for itself
        yield from (app.key for app in apps)
        return
    began = engine.clock()
    suspects = unproved(engine, apps, inventories)
    yield from suspects
    engine.drifts.looked({app.key for app in apps}.difference(suspects), began)
    yield from set(orphans.news(engine, apps)).difference(suspects)


def unproved(engine: Engine, apps: Sequence[Application], inventories: Listed) -> list[AppKey]:
    """Those of `apps` that are to be looked at: all for which the cluster's metadata does not prove that they
    are as the last look has found them.

    Costs a LIST of each kind that the others have, in all namespaces; one of the inventories; and two round
    trips to Redis. Raises nothing: who cannot be listed is looked at.
    """
    try:
        proved = _proved(engine, apps, inventories.of(engine.own, engine.settings.namespace))
    except MooringError as error:
        _log.info("each of %d applications is looked at by itself: %s", len(apps), error)
        proved = frozenset()
    return [app.key for app in apps if app.key not in proved]


def _proved(engine: Engine, apps: Sequence[Application], inventories: Sequence[Live]) -> frozenset[AppKey]:
    judge = engine.judges.now().of(engine.api.cluster)
    candidates = _candidates(engine, apps, inventories)
    kinds = {kind for one in candidates for kind in one.kinds.values()}
    schema = identities(engine.api, kinds)
    there = _listed(engine, kinds, judge)
    proofs = engine.proofs.load_all(engine.api.cluster, [one.app.key for one in candidates])
    moment, every, now = engine.clock(), engine.settings.reconcile_s, tell.now(engine)
    proved = frozenset(
        one.app.key
        for one in candidates
        if not any(due_again(key, moment, every) for key in one.kinds)
        and _stands(one, there.get(one.parent.applyset, {}), proofs[one.app.key], schema, judge, now)
    )
    if judge.problems:  # each app is to say so for itself
        return frozenset()
    return proved


def _candidates(engine: Engine, apps: Sequence[Application], inventories: Sequence[Live]) -> list[_Candidate]:
    on, find = ground(engine), engine.api.discovery.find
    parents = {live.key.name: live for live in inventories}
    found: list[_Candidate] = []
    bases = engine.proofs.bases(engine.api.cluster)
    for app in apps:
        known = bases.get(app.key)
        parent = Parent(app.key, engine.installation.id, engine.settings.namespace)
        if known is None or (live := parents.get(parent.name)) is None or overdue(app, tell.now(engine)):
            continue
        if HOOKS in live.annotations:  # strays of theirs are found by a look only
            continue
        parent = replace(parent, uid=live.uid, resource_version=live.resource_version)
        state, edition = engine.applications.state(app), engine.applications.edition(app)
        if known != basis(app, state, edition, parent, on):
            continue
        try:
            account = account_of(engine.applications, app)
        except Refused:
            continue
        kinds = {one.key: find(one.api_version, one.kind) for one in app.status.resources}
        served = {key: kind for key, kind in kinds.items() if kind is not None}
        if served.keys() == kinds.keys():
            found.append(_Candidate(app, parent, served, account.user if account else ""))
    return found


def _listed(engine: Engine, kinds: set[Kind], judge: Judge) -> Mapping[str, Mapping[ObjectKey, Live]]:
    """What the cluster has of `kinds` that is anybody's of ours, by ApplySet; whole where `judge` asks how it
    is. Raises ClusterUnavailable and ClusterRefused: part of it proves nothing."""

    def listed(kind: Kind) -> Sequence[Live]:
        small = not judge.judges(kind.group, kind.kind)
        return engine.api.list(kind, "", APPLYSET_PART_OF, metadata_only=small, cached=True)

    there: dict[str, dict[ObjectKey, Live]] = {}
    for objects in engine.executor.map(listed, kinds):
        for live in objects:
            there.setdefault(live.labels[APPLYSET_PART_OF], {})[live.key] = live
    return there


def _stands(
    one: _Candidate,
    there: Mapping[ObjectKey, Live],
    proofs: Mapping[ObjectKey, Proof],
    schema: Callable[[Kind], str],
    judge: Judge,
    now: str,
) -> bool:
    """Whether just the objects of `one` are there, each as it was applied, and as healthy as it was."""
    if there.keys() != one.kinds.keys():
        return False
    for key, live in there.items():
        proof = proofs.get(key)
        read = read_by(schema(one.kinds[key]), one.user)
        if live.deletion_timestamp or proof is None or not proves(proof, proof.body, read, live):
            return False
    if external_urls(one.app.metadata.annotations, there.values()) != one.app.status.summary.external_urls:
        return False
    health = {key: judge.assess(live.body) for key, live in there.items() if live.body is not None}
    return report.with_health(one.app, health, now).resources == one.app.status.resources

"""An app of which nothing but the health has moved: how its objects are is told, and that is all.

Nothing is fetched, rendered or compared. That is right only where all else stands as it was looked at, and
where the objects in question are proved to be as Git wants them; wherever there is doubt, the whole is looked
at instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mooring.keys import AppKey, ObjectKey
from mooring.model.application import Application
from mooring.names import APPLYSET_PART_OF
from mooring.store.proofs import Proof
from mooring.store.turns import Turn
from workers import report, tell
from workers.applyset.parent import Parent
from workers.apps.patches import refresh_asked
from workers.apps.wishes import OBSERVED
from workers.cluster.live import Live
from workers.clusters.there import there
from workers.decide import asked
from workers.engine import Engine
from workers.health import BUILT_IN, Health, HealthStatus
from workers.proof import proves
from workers.sighted import Sighted
from workers.sync_status import SYNCED

_LINKED: Final = ("networking.k8s.io", "Ingress")  # what people are told of it changes with its status


def vitals(engine: Engine, key: AppKey, turn: Turn) -> tell.Ending | None:
    """Tell how those objects of the application `key` are that were Progressing, when `turn` wishes no more
    than that; None where the whole is to be looked at.

    Costs the application as the API server has it in its cache, and a patch, which fails where that is
    another by now; where the observer that wishes for it has not told how they are, a LIST for each of their
    kinds, too. Raises as `Applications.get`, `Api.list` and `Applications.report`.
    """
    sighted = Sighted.from_wish(turn.wishes.get(OBSERVED, ""))
    if turn.wishes.keys() != {OBSERVED} or not sighted.version or turn.waits or turn.deliveries:
        return None
    app = engine.applications.get(key, since=sighted.version)
    if app is None or app.metadata.deletion_timestamp:
        return None
    keys = _progressing(app)
    if not keys or engine.applications.state(app).spec != engine.applications.edition(app):
        return None
    engine = there(engine, app)
    judge, proofs = engine.judges.now(), engine.proofs.of(engine.api.cluster, app.key, keys)
    health: Mapping[ObjectKey, Health | None] | None = None
    if judge is BUILT_IN:  # as it is for who has seen them
        health = sighted.health(app.metadata.resource_version, keys, proofs)
    if health is None:
        seen = _seen(engine, app, keys, proofs)
        if seen is None:
            return None
        health = {key: judge.assess(live.body or {}) for key, live in seen.items()}
    if judge.problems:  # it is a condition, too
        return None
    status = report.with_health(app, health, tell.now(engine))
    after = engine.applications.report(app, status, engine.applications.state(app))
    tell.show(engine, after)
    return tell.look_again(engine, after)


def _progressing(app: Application) -> frozenset[ObjectKey]:
    """The objects whose health the app waits for; none where it waits for anything else, or differs."""
    status, state = app.status, app.status.operation_state
    busy = asked(app) is not None or (state is not None and not state.finished_at)
    synced = status.sync is not None and status.sync.status == SYNCED
    if busy or not synced or refresh_asked(app) or status.health.status != HealthStatus.PROGRESSING:
        return frozenset()
    found = [one for one in status.resources if one.health and one.health.status == HealthStatus.PROGRESSING]
    if any(one.hook or one.requires_pruning or (one.group, one.kind) == _LINKED for one in found):
        return frozenset()
    return frozenset(one.key for one in found)


def _seen(
    engine: Engine, app: Application, keys: frozenset[ObjectKey], proofs: Mapping[ObjectKey, Proof]
) -> Mapping[ObjectKey, Live] | None:
    """The objects of `keys` as they are; None unless all are there, and just what was applied last."""
    parent = Parent(app.key, engine.installation.id, engine.settings.namespace)
    selector = f"{APPLYSET_PART_OF}={parent.applyset}"
    found: dict[ObjectKey, Live] = {}
    for group, name, namespace in sorted({(key.group, key.kind, key.namespace) for key in keys}):
        kind = engine.api.discovery.preferred(group, name)
        if kind is None:
            return None
        for live in engine.api.list(kind, namespace, selector, cached=True):
            proof = proofs.get(live.key)
            if live.key in keys and proof and proves(proof, proof.body, proof.schema, live):
                found[live.key] = live
    return found if found.keys() == keys else None

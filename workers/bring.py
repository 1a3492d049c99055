"""Brings one application to what is wanted of it: look, decide, and where allowed, write and report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mooring.errors import MooringError, Refused, Retryable, Superseded
from mooring.keys import IN_CLUSTER, AppKey, ObjectKey
from mooring.model.application import Application
from mooring.model.project import AppProject
from mooring.model.spec import Operation
from mooring.model.status import OperationState
from mooring.model.support import (
    Unsupported,
    unsupported_manifests,
    unsupported_operation,
    unsupported_project,
    unsupported_spec,
)
from mooring.repourl import masked
from mooring.store.proofs import Proof
from mooring.store.turns import Turn
from mooring.store.views import AppView
from workers import checkout, report
from workers.apply import Applied, Result, apply
from workers.applyset import store as parents
from workers.applyset.parent import Parent
from workers.apps.state import content_digest, spec_digest
from workers.apps.store import Claim
from workers.compare import Compared, compare
from workers.decide import Decision, Mode, asked, decide
from workers.desired import CRD, Desired, Stamp, desired
from workers.engine import Engine
from workers.observe import Observed, observe
from workers.ownership import Whose, approved, owner
from workers.plan import PRUNE_SKIPPED, Extra, Notice, Plan, Viewpoint, plan, without_prunes
from workers.proof import record
from workers.push import group
from workers.render.readset import remember
from workers.render.render import render
from workers.render.source import Parameters, Rendered
from workers.render.yaml_reader import DuplicateKeys
from workers.retry import next_try
from workers.timeline import Timeline

# How long after a change of health the next look is worth its requests, in seconds.
_LOOK_AGAIN = (1.0, 60.0)
# How long a worker that has lost its operation waits to hear what the newer one wants, in seconds.
_SUCCESSOR_S = 30.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ended. `failure` is "" when all is well; `look_again_s` asks for another look (0: none)."""

    message: str = ""
    failure: str = ""
    look_again_s: float = 0.0
    why: str = "health"


@dataclass(frozen=True, slots=True)
class Checked:
    """An application that may be looked at; `may_sync` False: something unsupported forbids writing."""

    app: Application
    project: AppProject
    notices: tuple[Notice, ...]
    may_sync: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a decision needs: what Git wants, what the cluster has, and the difference."""

    app: Application
    commit: str
    inputs: str
    wanted: tuple[Desired, ...]
    plan: Plan
    parent: Parent
    schema: Callable[[Desired], str]
    view: Viewpoint
    notices: tuple[Notice, ...]
    decision: Decision


def bring(engine: Engine, key: AppKey, turn: Turn, line: Timeline) -> Ending:
    """Bring the application `key` to what `turn` wishes.

    What is the user's to fix becomes a condition and the ending's failure. Raises Retryable when it is to
    be tried again, Superseded when somebody else has taken over.
    """
    app = engine.applications.get(key)
    if app is None:
        return Ending("the Application is gone")
    try:
        checked = _check(engine, app)
        scene = _look(engine, checked, turn, line)
    except Refused as error:
        return _refused(engine, app, error)
    go = _sync if scene.decision.mode is Mode.SYNC else _compare
    ending = go(engine, scene, turn, line)
    if "refresh" in turn.wishes or app.metadata.annotations.get("argocd.argoproj.io/refresh"):
        engine.applications.clear_refresh(app)
    return ending


def waiting(engine: Engine, key: AppKey, error: Retryable) -> None:
    """Say on the application why it has to wait. Does nothing when even that cannot be written."""
    try:
        app = engine.applications.get(key)
        if app is not None:
            _report_failure(engine, app, [Notice("ComparisonError", str(error))], app.status.operation_state)
    except MooringError:
        return


def give_up(engine: Engine, key: AppKey, why: str) -> None:
    """End the operation of an app whose workers died over it, so that nobody waits for it for ever."""
    app = engine.applications.get(key)
    if app is not None:
        _refused(engine, app, Refused(why))


# --- looking --------------------------------------------------------------------------------------


def _check(engine: Engine, app: Application) -> Checked:
    """Whether we can do what the application asks. Raises Refused when it cannot even be compared."""
    project = engine.applications.project(app.spec.project_name)
    found: list[Unsupported] = [
        *unsupported_spec(app, servers=(IN_CLUSTER, engine.cluster)),
        *unsupported_project(project),
    ]
    blocking = [one for one in found if one.blocks]
    notices = [Notice("InvalidSpecError" if one.blocks else "Unsupported", str(one)) for one in found]
    unrenderable = [one for one in blocking if one.path.startswith(("spec.source", "spec.destination"))]
    if unrenderable:
        raise Refused(str(unrenderable[0]), condition="InvalidSpecError")
    destination = app.spec.destination
    server, name = _places(engine, app)
    if not project.permits_destination(server, name, destination.namespace):
        raise Refused(
            f"project {project.metadata.name} does not permit the destination "
            f"{destination.server or destination.name} namespace {destination.namespace or '(none)'}: "
            "add it to spec.destinations or move the app",
            condition="InvalidSpecError",
        )
    return Checked(app, project, tuple(notices), may_sync=not blocking)


def _look(engine: Engine, checked: Checked, turn: Turn, line: Timeline) -> Scene:
    app = checked.app
    operation = asked(app)
    if operation is not None:
        for one in unsupported_operation(operation):
            raise Refused(str(one), condition="SyncError")
    # Everything that does not depend on the manifests is read while they are fetched and rendered.
    reading_parent = engine.executor.submit(
        parents.read, engine.api, engine.settings.namespace, app.key, engine.installation
    )
    hard = turn.wishes.get("refresh") == "hard"
    known = {} if hard else engine.proofs.load(engine.cluster, app.key)
    commit, rendered = _render(engine, checked, operation, turn)
    line.ended("rendered")
    parent = reading_parent.result()
    stamping = Stamp(engine.installation.id, app.key, parent.applyset)
    wanted, twice = desired(
        rendered.manifests,
        engine.api.discovery.find,
        app.spec.destination.namespace,
        _options(app, operation),
        stamping,
    )
    _check_permitted(engine, checked, wanted)
    asks = unsupported_manifests(item.body for item in wanted)
    notices = [
        *checked.notices,
        *(Notice("RepeatedResourceWarning", text) for text in twice),
        *(Notice("RenderWarning", text) for text in rendered.warnings),
        *(Notice("SyncError" if one.blocks else "Unsupported", str(one)) for one in asks),
    ]
    observed = observe(
        engine.api,
        engine.executor,
        wanted,
        parent.inventory.entries,
        engine.api.discovery.preferred,
        parent.applyset,
    )
    may_sync = checked.may_sync and not any(one.blocks for one in asks)
    lost = _lost_inventory(engine, app, parent, observed)
    if lost:
        notices.append(Notice(PARENT_LOST, lost))
        may_sync = may_sync and operation is not None
    since = next((c.last_transition_time for c in app.status.conditions if c.type == PRUNE_SKIPPED), "")
    inputs = remember(rendered.read_set)
    decision = decide(
        app,
        commit,
        new=engine.applications.state(app).tried != content_digest(app, inputs),
        may_sync=may_sync,
        approved=approved(app.metadata.annotations, since),
    )
    view = _viewpoint(engine, app, parent.applyset)
    schema = _schemas(engine, wanted)
    found = plan(
        wanted,
        observed,
        parent.inventory,
        known,
        schema,
        view,
        _options(app, operation),
        decision.permission,
    )
    line.ended("planned")
    return Scene(
        app=app,
        commit=commit,
        inputs=inputs,
        wanted=wanted,
        plan=found,
        parent=parent,
        schema=schema,
        view=view,
        notices=(*notices, *found.notices),
        decision=decision,
    )


PARENT_LOST = "OrphanedResourceWarning"


def _lost_inventory(engine: Engine, app: Application, parent: Parent, observed: Observed) -> str:
    """What to tell when objects say that they are this app's and there is no inventory at all; else ""."""
    if parent.uid:
        return ""
    ours = [
        live
        for live in observed.objects.values()
        if owner(live, app.key, engine.installation.id).whose is Whose.OURS and not live.controller_owner
    ]
    if not ours:
        return ""
    return (
        f"ConfigMap {parent.namespace}/{parent.name}, the inventory, is missing although {len(ours)} objects "
        "say that they are this app's: restore it from a backup, or sync by hand to begin a new one, which "
        "never prunes what left Git before"
    )


def _render(
    engine: Engine, checked: Checked, operation: Operation | None, turn: Turn
) -> tuple[str, Rendered]:
    """The manifests of the commit that is wanted: the operation's, the push's, or the one last compared."""
    app = checked.app
    source = checkout.source_of(app, checked.project)
    asked_for = operation.sync.revision if operation and operation.sync else ""
    commit = turn.wishes.get("commit", "")
    mirror = checkout.mirror_of(engine, source, app.spec.project_name)
    compared = app.status.sync.compared_to if app.status.sync else None
    if asked_for:
        mirror, commit = checkout.resolve(engine, source, app.spec.project_name, asked_for)
    elif commit and turn.wishes.get("follows") == _follows(app) and mirror.has(commit):
        pass
    elif (
        operation is None
        and not {"refresh", "look"} & set(turn.wishes)
        and compared is not None
        and compared.source == source
        and app.status.sync is not None
        and mirror.has(app.status.sync.revision)
    ):
        commit = app.status.sync.revision  # drift is looked for at the commit we have; polling finds new ones
    else:
        mirror, commit = checkout.resolve(engine, source, app.spec.project_name)
    duplicate_keys: DuplicateKeys = "error" if engine.settings.yaml_duplicate_keys == "error" else "warn"
    rendered = render(source, mirror.tree, commit, Parameters(app.metadata.name, duplicate_keys))
    return commit, rendered


def _follows(app: Application) -> str:
    wanted = group(app)
    return wanted.name if wanted else ""


def _check_permitted(engine: Engine, checked: Checked, wanted: Sequence[Desired]) -> None:
    project = checked.project
    server, name = _places(engine, checked.app)
    for item in wanted:
        key = item.key
        if not project.permits_resource(key.group, key.kind, item.kind.namespaced, key.name):
            raise Refused(
                f"project {project.metadata.name} does not permit {key.group or 'core'}/{key.kind}",
                where=item.where,
                condition="InvalidSpecError",
            )
        if key.namespace and not project.permits_destination(server, name, key.namespace):
            raise Refused(
                f"project {project.metadata.name} does not permit namespace {key.namespace}",
                where=item.where,
                condition="InvalidSpecError",
            )


def _places(engine: Engine, app: Application) -> tuple[str, str]:
    """The destination as a project's rules may name it: the URL and the name of the one cluster there is."""
    destination = app.spec.destination
    return destination.server or IN_CLUSTER, destination.name or "in-cluster"


def _options(app: Application, operation: Operation | None) -> tuple[str, ...]:
    own = operation.sync.sync_options if operation and operation.sync else ()
    return (*app.spec.sync_options, *own)


def _viewpoint(engine: Engine, app: Application, applyset: str) -> Viewpoint:
    others: dict[str, frozenset[ObjectKey]] | None = None

    def all_others() -> dict[str, frozenset[ObjectKey]]:
        nonlocal others
        if others is None:  # asked only when an object says that it belongs to another app
            others = {
                str(other.key): frozenset(
                    ObjectKey(r.group, r.kind, r.namespace, r.name)
                    for r in other.status.resources
                    if not r.requires_pruning
                )
                for other in engine.applications.list().apps
            }
        return others

    return Viewpoint(
        app=app.key,
        installation=engine.installation.id,
        applyset=applyset,
        renders=lambda name, key: key in all_others().get(name, frozenset()),
    )


def _schemas(engine: Engine, wanted: Sequence[Desired]) -> Callable[[Desired], str]:
    """The identity of each object's schema: the server's version, or its CRD's uid and generation."""
    discovery = engine.api.discovery
    version = discovery.server_version
    crd = discovery.preferred(*CRD)
    custom: dict[str, str] = {}
    if crd is not None and any(_may_be_custom(item) for item in wanted):
        for live in engine.api.list(crd, metadata_only=True):
            custom[live.key.name] = f"{live.uid}/{live.generation}"

    def schema(item: Desired) -> str:
        return custom.get(f"{item.kind.plural}.{item.kind.group}", version)

    return schema


def _may_be_custom(item: Desired) -> bool:
    group = item.kind.group
    return "." in group and not group.endswith(".k8s.io")


# --- writing --------------------------------------------------------------------------------------


def _sync(engine: Engine, scene: Scene, turn: Turn, line: Timeline) -> Ending:
    app, decision = scene.app, scene.decision
    state = app.status.operation_state
    if not scene.plan.changes and not decision.by_hand and not decision.resumes:
        found = compare(scene.plan, engine.api, engine.executor, scene.schema)
        parent = _keep_books(engine, scene, scene.plan.gone)
        scene = replace(scene, parent=parent)
        return _conclude(engine, scene, line, state, found.seen, scene.plan.extras, tried=True)
    started = state.started_at if state and decision.resumes else _now()
    retries = state.retry_count if state and decision.resumes else 0
    # Only for a turn that is lost. Giving way to whatever is newer would be fewer syncs, but where wishes
    # come faster than one look takes, there would never be any.
    if not engine.turns.renew(turn):
        raise Superseded("another worker has taken this turn")
    claim = engine.applications.claim(app, report.running(decision.operation, scene.commit, started, retries))
    applied, parent = _write(engine, scene, claim)
    line.ended("applied")
    finished = report.finished(claim.state, app, scene.commit, scene.plan, applied, _now())
    ending = Ending()
    if applied.failures:
        wait = next_try(decision.operation.retry, retries, any(f.retry for f in applied.failures))
        ending = Ending(failure=finished.message)
        if wait is not None:
            message = f"trying again in {wait:.0f} s (attempt {retries + 2}): {finished.message}"
            finished = finished.model_copy(
                update={"phase": "Running", "message": message, "finished_at": "", "retry_count": retries + 1}
            )
            ending = Ending(failure=finished.message, look_again_s=wait, why="retry")
    scene = replace(scene, app=claim.app, parent=parent)
    after = _conclude(
        engine,
        scene,
        line,
        finished,
        report.seen_after_apply(scene.plan, applied),
        report.left_over(scene.plan, applied),
        applied=applied,
        claim=claim,
        tried=True,
    )
    engine.applications.event(
        app,
        "Warning" if applied.failures else "Normal",
        "OperationCompleted",
        f"sync to {scene.commit[:12]}: {finished.message}",
    )
    return ending if ending.failure else after


def _write(engine: Engine, scene: Scene, claim: Claim) -> tuple[Applied, Parent]:
    """Grow the inventory, apply, and let go of what was seen gone."""
    api = engine.api
    if "CreateNamespace=true" in _options(scene.app, scene.decision.operation):
        namespace = scene.app.spec.destination.namespace
        if namespace:
            api.ensure_namespace(namespace)
    parent = _keep_books(engine, scene)
    applied = apply(
        scene.plan,
        api,
        engine.executor,
        scene.view,
        holds=lambda: engine.applications.holds(claim),
        wanted=_Successor(engine, claim).wants,
    )
    gone = set(scene.plan.gone)
    for outcome in applied.outcomes:
        live = outcome.live if outcome.result is Result.PRUNED else None
        if live is not None and api.get(live.kind, live.key.namespace, live.key.name, True) is None:
            gone.add(outcome.key)
    if gone:
        parent = parents.shrink(api, parent, gone)
    proofs: dict[ObjectKey, Proof] = {}
    for outcome in applied.outcomes:
        if (
            outcome.desired is not None
            and outcome.live is not None
            and outcome.result
            in (
                Result.CREATED,
                Result.CONFIGURED,
                Result.UNCHANGED,
            )
        ):
            item = outcome.desired
            proofs[outcome.key] = record(item.digest, scene.schema(item), outcome.live)
    engine.proofs.save(engine.cluster, scene.app.key, proofs, gone)
    return applied, parent


class _Successor:
    """The operation that was claimed after ours, asked by a worker that comes late."""

    def __init__(self, engine: Engine, claim: Claim) -> None:
        self._engine = engine
        self._claim = claim
        self._deadline = 0.0

    def wants(self, key: ObjectKey) -> bool:
        """Whether it has the object too. Until it has ended nobody can say: then that is waited for.

        True when it does not end in time: the object then stays for it, or for the next one, to judge.
        """
        self._deadline = self._deadline or time.monotonic() + _SUCCESSOR_S
        while True:
            app = self._engine.applications.get(self._claim.key)
            if app is None or app.metadata.uid != self._claim.uid:
                return False
            operation = app.status.operation_state
            if operation is None or operation.phase != "Running":
                return any(
                    ObjectKey(one.group, one.kind, one.namespace, one.name) == key
                    and not one.requires_pruning
                    for one in app.status.resources
                )
            if time.monotonic() > self._deadline:
                return True
            time.sleep(0.2)


def _keep_books(engine: Engine, scene: Scene, gone: frozenset[ObjectKey] = frozenset()) -> Parent:
    """The inventory with what the plan adds, and without what is `gone`."""
    parent = scene.parent
    if scene.plan.grow:
        parent = parents.grow(engine.api, parent, scene.plan.grow)
    if gone:
        parent = parents.shrink(engine.api, parent, gone)
    return parent


def _compare(engine: Engine, scene: Scene, turn: Turn, line: Timeline) -> Ending:
    found = compare(scene.plan, engine.api, engine.executor, scene.schema)
    engine.proofs.save(engine.cluster, scene.app.key, found.proofs)
    scene = replace(scene, notices=(*scene.notices, *found.notices))
    if scene.decision.mode is Mode.HEAL and (found.drifted or scene.plan.prunes):
        healing = replace(scene, plan=_only(scene.plan, found))
        return _sync(engine, healing, turn, line)
    # What would be pruned by a sync is merely told.
    extras = without_prunes(scene.plan, "left Git; it is pruned with the next sync").extras
    return _conclude(engine, scene, line, scene.app.status.operation_state, found.seen, extras)


def _only(found: Plan, compared: Compared) -> Plan:
    """`found` reduced to exactly the objects that have drifted; the others are as Git wants them."""
    writes = tuple(
        group
        for steps in found.writes
        if (group := tuple(step for step in steps if step.key in compared.drifted))
    )
    equal = tuple(step for steps in found.writes for step in steps if step.key not in compared.drifted)
    return replace(found, writes=writes, kept=(*found.kept, *equal))


# --- saying ---------------------------------------------------------------------------------------


def _conclude(
    engine: Engine,
    scene: Scene,
    line: Timeline,
    operation: OperationState | None,
    seen: Sequence[report.Seen],
    extras: Sequence[Extra],
    *,
    applied: Applied | None = None,
    claim: Claim | None = None,
    tried: bool = False,
) -> Ending:
    """Write the status, and say when to look again. `tried`: this content was synced, or tried to be."""
    notices = list(scene.notices)
    if applied is not None:
        notices += [
            Notice("SyncWarning", f"{outcome.key.title}: {outcome.warning}")
            for outcome in applied.outcomes
            if outcome.warning
        ]
        if applied.failures and operation is not None:
            notices.append(Notice("SyncError", operation.message))
    status = report.status(scene.app, scene.commit, seen, extras, notices, operation, _now())
    state = replace(engine.applications.state(scene.app), inputs=scene.inputs, commit=scene.commit)
    state = replace(state, spec=spec_digest(scene.app))
    if tried:
        state = replace(state, tried=content_digest(scene.app, scene.inputs))
    app = engine.applications.report(scene.app, status, state, claim)
    line.ended("synced" if status.sync and status.sync.status == "Synced" else "compared")
    _show(engine, app)
    if status.health.status == "Progressing":
        since = datetime.fromisoformat(status.health.last_transition_time)
        passed = (datetime.now(UTC) - since).total_seconds()
        low, high = _LOOK_AGAIN
        return Ending(look_again_s=min(max(passed / 2, low), high))
    return Ending()


def _refused(engine: Engine, app: Application, error: Refused) -> Ending:
    """Put the error on the application as a condition; the cluster stays as it is."""
    operation = app.status.operation_state
    wanted = asked(app)
    kind = error.condition
    claim: Claim | None = None
    if wanted is not None:
        # The operation is over: whoever asked for it waits for its end.
        state = report.running(wanted, wanted.sync.revision if wanted.sync else "", _now())
        claim = engine.applications.claim(app, state)
        app = claim.app
        operation = report.ended(claim.state, "Error", str(error), _now())
    _report_failure(engine, app, [Notice(kind, str(error))], operation, claim)
    engine.applications.event(app, "Warning", kind, str(error))
    if app.metadata.annotations.get("argocd.argoproj.io/refresh"):
        engine.applications.clear_refresh(app)
    return Ending(failure=str(error))


def _report_failure(
    engine: Engine,
    app: Application,
    notices: Sequence[Notice],
    operation: OperationState | None,
    claim: Claim | None = None,
) -> None:
    status = report.failed_status(app, notices, operation, _now())
    state = replace(engine.applications.state(app), spec=spec_digest(app))
    _show(engine, engine.applications.report(app, status, state, claim))


def _show(engine: Engine, app: Application) -> None:
    """Bring the read model up to date."""
    source, sync = app.spec.source, app.status.sync
    messages = [condition.message for condition in app.status.conditions]
    engine.views.put(
        AppView(
            name=app.metadata.name,
            namespace=app.metadata.namespace,
            project=app.spec.project_name,
            sync=sync.status if sync else "Unknown",
            health=app.status.health.status,
            revision=sync.revision if sync else "",
            message="; ".join(messages),
            repo=masked(source.repo_url) if source else "",
            destination=f"{app.spec.destination.server or app.spec.destination.name}/"
            f"{app.spec.destination.namespace}",
            updated_at=engine.clock(),
        )
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

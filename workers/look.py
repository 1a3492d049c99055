"""What Git wants of an app and what its cluster has: everything a decision needs. Nothing is written here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from mooring.errors import Refused
from mooring.keys import AppKey, ObjectKey
from mooring.logs import at
from mooring.model.annotations import foreign_is_drift
from mooring.model.application import Application
from mooring.model.impersonation import turned_off
from mooring.model.pinned import Pinned
from mooring.model.project import AppProject
from mooring.model.spec import Operation
from mooring.model.support import (
    Unsupported,
    unsupported_manifests,
    unsupported_operation,
    unsupported_project,
    unsupported_spec,
)
from mooring.store.shared import Words
from mooring.store.turns import Turn
from workers import aim, managed_namespace, orphans, upstream
from workers.applyset import store as parents
from workers.applyset.parent import Parent
from workers.apps.conditions import ORPHANED_RESOURCE, RENDER_NOT_REPRODUCIBLE, SHARED_RESOURCE
from workers.apps.patches import refresh_asked
from workers.apps.state import attempt_digest, content_digest, said_again
from workers.cluster.live import Live
from workers.clusters.there import reached
from workers.decide import Decision, asked, decide
from workers.desired import Desired, Stamp, desired, kinds_of_crds
from workers.engine import Engine
from workers.health import Judge
from workers.hooks.seen import Hooks, see
from workers.hooks.wanted import apart, hooks_of
from workers.ignore.ignored import Ignore, ignoring
from workers.ignore.known_types import Types
from workers.observe import Observed, begin, not_there, observe
from workers.ownership import Whose, approved, owner
from workers.permitted import Permitted, check_destination, check_namespace, check_objects, kept, permitted
from workers.plan import PRUNE_SKIPPED, Notice, Plan, Viewpoint, plan
from workers.proof import due_again
from workers.render.source import Drawn
from workers.rollback import Ahead
from workers.schema.identity import identities, read_by
from workers.selection import selection, split
from workers.timeline import Timeline
from workers.viewpoint import viewpoint
from workers.windows import Window, applying

_NOT_REPRODUCIBLE: Final = (
    "each render gives other manifests, as a chart does that draws passwords: what was deployed is kept and "
    "written again to correct drift, until Git changes; give the values in Git or in Secrets of your own"
)
_LOST: Final = (
    "what was deployed cannot be rendered again, and the Secrets that kept it are gone or cannot be opened: "
    "drift is not corrected; sync by hand to deploy a new render (new passwords included), or push a commit"
)


@dataclass(frozen=True, slots=True)
class Checked:
    """An application that may be looked at, as of `edition` (`Applications.edition`).

    `blocking` says what unsupported thing forbids writing, or "".
    """

    app: Application
    project: AppProject
    notices: tuple[Notice, ...]
    blocking: str
    windows: tuple[Window, ...]  # those of the project that apply to the app
    edition: str
    ignore: Ignore
    may: Permitted


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was rendered cannot surely be rendered again. `known`: `drawn` is kept already, else it is to be
    before the first of it is written. `again` is what a second render gave (State.again)."""

    content: str
    drawn: Drawn
    known: bool
    again: str
    lost: str  # why nothing may be written without being asked for; ""

    @property
    def notices(self) -> tuple[Notice, ...]:
        differs = self.again == said_again(self.content, same=False)
        told = self.lost or (_NOT_REPRODUCIBLE if differs else "")
        return (Notice(RENDER_NOT_REPRODUCIBLE, told),) if told else ()


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a decision needs: what Git wants, what the cluster has, and the difference."""

    app: Application
    pinned: Pinned
    kinds: tuple[str, ...]  # of the sources: Directory, Helm, …
    inputs: str
    wanted: tuple[Desired, ...]
    plan: Plan
    parent: Parent
    schema: Callable[[Desired], str]
    view: Viewpoint
    notices: tuple[Notice, ...]
    decision: Decision
    words: Words
    edition: str
    bundle: Bundle | None
    hooks: Hooks
    given: str  # the digest of what was given for it (workers/rollback.py)
    bad: str  # to be remembered once it is synced, as is `seen` (State)
    seen: str
    judge: Judge
    nowhere: frozenset[str] = frozenset()  # namespaces that do not exist
    ahead: Ahead | None = None  # what Git has, where somebody rolled back from that
    rest: Plan | None = None  # of objects that an operation does not select: only compared
    looked: float = 0.0  # when that began, in seconds since the epoch
    acts_as: str = ""  # the user in whose name it is written; "" for Mooring's own

    @property
    def content(self) -> str:
        """The digest of all that makes a sync another one (State.tried)."""
        return attempt_digest(content_digest(self.app, self.pinned, self.inputs), self.acts_as)


def check(engine: Engine, app: Application, edition: str) -> Checked:
    """Whether we can do what the application asks. Raises Refused when it cannot even be compared."""
    project = engine.applications.project(app.spec.project_name)
    found: list[Unsupported] = [
        *unsupported_spec(app, *reached(app)),
        *unsupported_project(project),
    ]
    blocking = [str(one) for one in found if one.blocks]
    notices = [Notice("InvalidSpecError" if one.blocks else "Unsupported", str(one)) for one in found]
    if round_about := upstream.cycle(engine, app):
        blocking.append(round_about.message)
        notices.append(round_about)
    unrenderable = [text for text in blocking if text.startswith(("spec.source", "spec.destination"))]
    if unrenderable:
        raise Refused(unrenderable[0], condition="InvalidSpecError")
    may = permitted(engine, app, project)
    check_destination(may, app.spec.destination)
    windows: tuple[Window, ...] = ()
    try:
        windows = applying(project, app, may.cluster)
    except Refused as error:  # that does not keep anybody from seeing what differs
        blocking.append(str(error))
        notices.append(Notice(error.condition, str(error)))
    managed_namespace.check(app, project)
    said, types = engine.applications.config(), Types(engine.schemas, engine.api)
    if off := turned_off(project, said):
        notices.append(Notice("SyncWarning", off))
    ignore = ignoring(app.spec.ignore_differences, engine.settings, said, types)
    return Checked(app, project, tuple(notices), next(iter(blocking), ""), windows, edition, ignore, may)


def look(engine: Engine, checked: Checked, turn: Turn, line: Timeline) -> Scene:
    """Fetch, render, observe and plan. Raises Refused for what is the user's to fix, Retryable else."""
    app, began = checked.app, engine.clock()
    operation = asked(app)
    if operation is not None:
        for one in unsupported_operation(operation, app):
            raise Refused(str(one), condition="SyncError")
    # Everything that does not depend on the manifests is read while they are fetched and rendered.
    # Nobody has written an inventory of it just now, nor records, where nobody has looked at it yet.
    untouched = app.status.sync is None and app.status.operation_state is None
    absent = Parent(app.key, engine.installation.id, engine.settings.namespace)
    read_parent = partial(
        parents.read, engine.own, absent.namespace, app.key, engine.installation, cached=untouched
    )
    reading_parent = None if untouched and turn.first else engine.executor.submit(read_parent)
    reading_kept: Future[Sequence[Live]] | None = None
    if engine.applications.state(app).bundle:
        reading_kept = engine.executor.submit(engine.bundles.parts, app.key)
    judge = engine.judges.now()
    begun = begin(engine.api, engine.executor, app.status.resources, absent.applyset, judge)
    anew = untouched or refresh_asked(app) == "hard"
    known = {} if anew else engine.proofs.load(engine.api.cluster, app.key)
    if asked_at := turn.wishes.get("compare"):
        moment, every = float(asked_at), engine.settings.reconcile_s
        known = {key: proof for key, proof in known.items() if not due_again(key, moment, every)}
    aimed = aim.aim(engine, app, checked.project, turn)
    pinned, rendered, inputs = aimed.made.pinned, aimed.made.rendered, aimed.made.inputs
    git = (aimed.ahead or aimed.made).pinned
    at(str(git) if git.several else git.revisions[0])
    line.ended("rendered", aim.moved(git, Pinned.compared(app.status.sync)))
    bundle: Bundle | None = None
    if not rendered.pure:
        parts = reading_kept.result() if reading_kept else engine.bundles.parts(app.key)
        bundle = _bundle(engine, checked, aimed, turn, parts)
        rendered = rendered.with_drawn(bundle.drawn)
    stamping = Stamp(engine.installation.id, app.key, absent.applyset)
    stay, hooked = apart(rendered.manifests)
    coming = kinds_of_crds(rendered.manifests)
    find, namespace = engine.api.discovery.find, app.spec.destination.namespace
    wanted, twice = desired(
        stay,
        find,
        namespace,
        options(app, operation),
        stamping,
        checked.ignore,
        coming,
        foreign=bool(foreign_is_drift(app.metadata.annotations)),
    )
    hooks = hooks_of(hooked, find, coming, namespace, options(app, operation))
    check_objects(checked.may, (*wanted, *hooks))
    asks = unsupported_manifests((*(item.body for item in wanted), *(hook.body for hook in hooks)))
    nowhere: frozenset[str] | None = None
    if reading_parent is not None:
        parent = reading_parent.result()
    else:
        nowhere = not_there(engine.api, engine.executor, wanted)
        # Should there be an inventory all the same, the write that is to create it says so (Conflict), and
        # all is looked at again. Hooks of one of this name before it may run elsewhere.
        new = _all_new(wanted, nowhere) and not hooks and operation is None
        parent = absent if new else read_parent()
    twofold = managed_namespace.told(app, {item.key for item in wanted})
    notices = [
        *checked.notices,
        *aimed.notices,
        *(Notice("RepeatedResourceWarning", text) for text in twice),
        *(Notice("SyncWarning", text) for text in filter(None, [twofold])),
        *(Notice("RenderWarning", text) for text in rendered.warnings),
        *(Notice("SyncError" if one.blocks else "Unsupported", str(one)) for one in asks),
        *orphans.notices(engine, app, checked.project, turn),
    ]
    observed = observe(
        engine.api,
        engine.executor,
        wanted,
        parent.inventory.entries,
        engine.api.discovery.preferred,
        parent.applyset,
        begun,
        judge,
        nowhere=nowhere,
    )
    check_namespace(engine, checked.may, app, options(app, operation), observed)
    blocking = next((str(one) for one in asks if one.blocks), checked.blocking)
    lost = _lost_inventory(engine, app, parent, observed)
    if lost:
        notices.append(Notice(ORPHANED_RESOURCE, lost))
        blocking = blocking or ("" if operation else lost)
    if bundle is not None:
        notices += bundle.notices
        blocking = blocking or ("" if operation else bundle.lost)
    if operation is not None and blocking:
        raise Refused(blocking, condition="SyncError")  # whoever asked for it is told so at once
    # The newest question: an approval of an older one does not answer it.
    since = max(
        (c.last_transition_time for c in app.status.conditions if c.type == PRUNE_SKIPPED), default=""
    )
    view = viewpoint(engine.applications, engine.installation.id, app, parent.applyset)
    memory, acts_as = engine.applications.state(app), engine.api.actor.user
    content = attempt_digest(content_digest(app, pinned, inputs), acts_as)
    decision = decide(
        app,
        pinned,
        new=memory.tried != content
        or _handed_over(wanted, observed, view)
        or managed_namespace.due(app, app.status.operation_state),
        failed=memory.failed == content,
        bad=aimed.stays,
        may_sync=not blocking,
        approved=approved(app.metadata.annotations, since),
        windows=checked.windows,
        now=datetime.fromtimestamp(engine.clock(), UTC),
    )
    if aimed.ahead is not None and decision.operation.sync is not None:
        # What is written is not what the app's own sources are at: the operation says so.
        sync = decision.operation.sync.model_copy(update=pinned.source_fields)
        operation_ = decision.operation.model_copy(update={"sync": sync})
        decision = replace(decision, operation=operation_)
    schema = _schemas(engine, wanted)
    found = plan(
        wanted,
        observed,
        parent.inventory,
        known,
        schema,
        view,
        options(app, operation),
        decision.permission,
        {hook.key for hook in hooks},
    )
    found = kept(found, checked.may)
    rest: Plan | None = None
    words = _shared(engine, app, found)
    told = found.notices
    if chosen := selection(operation):
        found, rest = split(found, chosen)
    notices += [
        Notice(SHARED_RESOURCE, f"{key.title}: app {other.name} has it in Git too, and leaves it alone")
        for other, keys in words.claims.items()
        for key in sorted(keys.intersection(item.key for item in wanted))
    ]
    line.ended("planned")
    return Scene(
        app=app,
        pinned=pinned,
        kinds=rendered.kinds,
        inputs=inputs,
        wanted=wanted,
        plan=found,
        parent=parent,
        schema=schema,
        view=view,
        notices=(*notices, *told),
        decision=decision,
        words=words,
        edition=checked.edition,
        bundle=bundle,
        given=aimed.made.given,
        bad=aimed.bad,
        seen=aimed.seen,
        rest=rest,
        nowhere=observed.nowhere,
        ahead=_ahead(engine, app, aimed.ahead, stamping) if aimed.ahead else None,
        hooks=see(engine, app, hooks, parent, judge),
        judge=judge,
        looked=began,
        acts_as=acts_as,
    )


def _all_new(wanted: Sequence[Desired], nowhere: Collection[str]) -> bool:
    """Whether all that is wanted is in namespaces that do not exist."""
    return bool(wanted) and all(item.key.namespace in nowhere for item in wanted)


def _ahead(engine: Engine, app: Application, git: aim.Made, stamping: Stamp) -> Ahead:
    """What Git has, to be shown beside what is deployed. Nothing of it is written: it need not fit."""
    find, namespace = engine.api.discovery.find, app.spec.destination.namespace
    wanted: tuple[Desired, ...] | None = None
    with contextlib.suppress(Refused):
        manifests = git.rendered.manifests
        coming = kinds_of_crds(manifests)
        wanted, _ = desired(apart(manifests)[0], find, namespace, options(app, None), stamping, coming=coming)
    return Ahead(git.pinned, git.inputs, git.given, wanted)


def _bundle(engine: Engine, checked: Checked, aimed: aim.Aim, turn: Turn, parts: Sequence[Live]) -> Bundle:
    """What is deployed of a render that may give something else each time: what was kept of it in `parts`,
    where it was.

    A comparison, which nobody waits for, renders once more to find out whether it really does. Where it does
    not, nothing is lost with what was kept.
    """
    app, state = checked.app, engine.applications.state(checked.app)
    pinned, rendered, inputs = aimed.made.pinned, aimed.made.rendered, aimed.made.inputs
    content = content_digest(app, pinned, inputs)
    again = state.again if state.again.startswith(content) else ""
    kept = engine.bundles.open(app.key, content, parts)
    if kept is None:
        before = engine.bundles.before(app.key, state, parts)
        same = state.bundle == content or (bool(state.bundle) and state.deployed == aimed.made.given)
        lost = same and not before and not state.is_reproducible
        drawn = rendered.with_drawn(before).drawn
        return Bundle(content, drawn, False, again, _LOST if lost else "")
    if "compare" in turn.wishes and not again:
        then = aim.rendered(engine, app, checked.project, aimed.whose, turn, anew=True)
        if then.inputs == inputs:
            same = _digests(then.rendered.drawn) == _digests(kept)
            again = said_again(content, same=same)
    return Bundle(content, kept, True, again, "")


def _digests(drawn: Drawn) -> set[str]:
    return {one.digest for manifests in drawn.values() for one in manifests}


def _handed_over(wanted: Sequence[Desired], observed: Observed, view: Viewpoint) -> bool:
    """Whether another app has let go of an object since the last sync: it was not ours to write then."""
    for item in wanted:
        live = observed.objects.get(item.key)
        if live is not None:
            said = owner(live, view.app, view.installation)
            if said.whose is Whose.OTHER_APP and not view.renders(said.app, item.key):
                return True
    return False


def _shared(engine: Engine, app: Application, found: Plan) -> Words:
    """Tell the owners of what `app` wants too, and hear who wants what it has."""
    wants: dict[AppKey, list[ObjectKey]] = {}
    for step in found.refused:
        said = owner(step.live, app.key, engine.installation.id) if step.live else None
        if said and said.whose is Whose.OTHER_APP and "_" in said.app:
            wants.setdefault(AppKey.parse(said.app), []).append(step.key)
    words = engine.shared.exchange(engine.api.cluster, app.key, wants)
    living = {other: keys for other, keys in words.claims.items() if alive(engine, other)}
    for other in words.claims.keys() - living.keys():
        engine.shared.forget(engine.api.cluster, app.key, other)
    return replace(words, claims=living)


def alive(engine: Engine, key: AppKey) -> bool:
    """Whether there is such an application. One that cannot be read is there, and nobody else's trouble."""
    try:
        return engine.applications.get(key) is not None
    except Refused:
        return True


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


def options(app: Application, operation: Operation | None) -> tuple[str, ...]:
    """The sync options of the app, and over them those of the operation."""
    sync = operation.sync if operation else None
    if sync is None:
        return app.spec.sync_options
    force = ("Force=true",) if sync.forced else ()
    return (*app.spec.sync_options, *sync.sync_options, *force)


def _schemas(engine: Engine, wanted: Sequence[Desired]) -> Callable[[Desired], str]:
    """What proofs of each object hold of whoever has read it."""
    schema, user = identities(engine.api, (item.kind for item in wanted)), engine.api.actor.user
    return lambda item: read_by(schema(item.kind), user)

"""What an app is to be at: which sources at which revisions, and what they render to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from mooring.errors import MooringError, Refused, TooSlow
from mooring.model.application import Application
from mooring.model.pinned import Pinned, revisions_of
from mooring.model.project import AppProject
from mooring.model.spec import Operation, Source, SyncOperation
from mooring.model.status import RevisionHistory, SyncResult
from mooring.revision import shortened
from mooring.store.turns import Turn
from workers import checkout, ownership, rollback
from workers.apps.patches import refresh_asked
from workers.apps.state import State
from workers.decide import asked
from workers.engine import Engine
from workers.fetch import Fetcher
from workers.jobs import inputs_of
from workers.jobs import jobs as jobs_of
from workers.origin import Origin
from workers.plan import Notice
from workers.push import PUSH, followed
from workers.render.patience import within
from workers.render.render import render
from workers.render.source import Job, Rendered
from workers.rollback import ROLLED_BACK
from workers.signatures import check as signatures
from workers.sync_status import UNKNOWN

_NOT_RENDERED: Final = "what was rolled back to cannot be rendered again, and drift is not corrected"


@dataclass(frozen=True, slots=True)
class Made:
    """Sources at their revisions, what they render to, and what was read for that (State.inputs)."""

    pinned: Pinned
    rendered: Rendered
    inputs: str

    @property
    def given(self) -> str:
        """The digest of what was given for it."""
        return rollback.given(self.pinned, self.rendered.read_sets)


@dataclass(frozen=True, slots=True)
class Aim:
    """What an app is to be at, and by `whose` wish it was rendered.

    `made` is what Git has or an operation names; where somebody rolled back from what Git has, that is
    `ahead`, and `made` is what was rolled back to. `stays`: where that cannot be told, nothing is written.
    `bad` and `seen` are to be remembered (workers/apps/state.py) once it is synced.
    """

    made: Made
    whose: Operation | None
    bad: str
    seen: str
    ahead: Made | None = None
    stays: bool = False
    notices: tuple[Notice, ...] = ()


def aim(engine: Engine, app: Application, project: AppProject, turn: Turn) -> Aim:
    """What to look at. Raises Refused for what is the user's to fix, Retryable else."""
    memory, operation = engine.applications.state(app), asked(app)
    made = rendered(engine, app, project, operation, turn)
    given = made.given
    if app.operation is not None:
        own = given == memory.seen or _follows(engine, app, project, app.operation, made.pinned)
        back = rollback.goes_back(app, made.pinned, own=own)
        bad = rollback.bad_after(memory, given, back=back)
        return Aim(made, operation, bad, given if own else memory.seen)
    if operation is not None:
        return Aim(made, operation, memory.bad, memory.seen)
    if app.spec.automated is None or not rollback.is_bad(memory, given):
        return Aim(made, None, memory.bad, given)
    return _rolled_back(engine, app, project, turn, memory, made)


def _rolled_back(
    engine: Engine, app: Application, project: AppProject, turn: Turn, memory: State, git: Made
) -> Aim:
    """What is deployed, in the place of what Git has and somebody rolled back from."""
    notices: list[Notice] = []
    for there in deployed(app):
        wish = Operation(sync=SyncOperation(**there.revision_fields, **there.source_fields))
        try:
            made = rendered(engine, app, project, wish, turn)
        except Refused as error:
            notices = [Notice("RenderWarning", f"{_NOT_RENDERED}: {error}")]
            continue
        if made.given == rollback.goes_back_to(memory):
            told = Notice(ROLLED_BACK, rollback.told(made.pinned, git.pinned))
            return Aim(made, wish, memory.bad, git.given, ahead=git, notices=(told,))
    notices.append(Notice(ROLLED_BACK, rollback.told(None, git.pinned)))
    return Aim(git, None, memory.bad, git.given, stays=True, notices=tuple(notices))


def deployed(app: Application) -> list[Pinned]:
    """What may be deployed now, the likeliest first."""
    state = app.status.operation_state
    told: list[RevisionHistory | SyncResult] = [*app.status.history[-1:]]
    if state is not None and state.sync_result is not None:
        told.append(state.sync_result)
    return [found for one in told if (found := Pinned.deployed(one)) is not None]


def _follows(
    engine: Engine, app: Application, project: AppProject, operation: Operation, pinned: Pinned
) -> bool:
    """Whether `pinned`, which `operation` named, is what the app follows, as its hosts have that now.

    A host that cannot be asked now keeps nobody from rolling back: then it is taken for something else.
    """
    sync = operation.sync
    if sync is None or not (revisions_of(sync) or checkout.replaces(sync)):
        return True
    own = checkout.sources_of(app, project)
    if own.sources != pinned.sources:
        return False
    try:
        return all(
            revision
            == checkout.resolve(
                engine, checkout.origin_of(engine, source, app.spec.project_name), source.target_revision
            )
            for source, revision in zip(own.sources, pinned.revisions, strict=True)
        )
    except MooringError:
        return False


def newer(engine: Engine, app: Application, project: AppProject, turn: Turn) -> Pinned | None:
    """What Git has, where syncs are automated and it takes the place of a sync by hand that waits: news that
    change something for the app, and that nobody rolled back from."""
    operation, memory = asked(app), engine.applications.state(app)
    if operation is None or app.operation is not None or app.spec.automated is None or not _news(turn):
        return None
    try:
        made = rendered(engine, app, project, None, turn)
    except Refused:
        return None
    known = made.given == memory.deployed or rollback.is_bad(memory, made.given)
    return None if known else made.pinned


def _news(turn: Turn) -> bool:
    """Whether it may be about something that was not there before."""
    return "look" in turn.wishes or any(name.startswith(PUSH) for name in turn.wishes)


def rendered(
    engine: Engine,
    app: Application,
    project: AppProject,
    operation: Operation | None,
    turn: Turn,
    *,
    anew: bool = False,
) -> Made:
    """The manifests of the revisions that are wanted: the operation's, the push's, or those last compared;
    and what was read for them, to be remembered."""
    sync = operation.sync if operation else None
    wanted = checkout.sources_of(app, project, sync)
    asked_for = _asked_for(app, operation, len(wanted.sources), _news(turn))
    before = Pinned.compared(app.status.sync)
    refreshed = bool(refresh_asked(app))
    # Drift is looked for at the revisions that we have; polling finds new ones. But where the last look
    # failed, neither that nor a push to one source must make the app look whole by going back to before.
    failed = app.status.sync is not None and app.status.sync.status == UNKNOWN
    stay = operation is None and not refreshed and not failed and "look" not in turn.wishes
    stay = stay and bool(engine.applications.state(app).inputs)  # else what was compared was not Git's newest
    # Whoever has just created it means what Git has had since then: of many that came together, one asks.
    new = before is None and operation is None and not refreshed and not turn.deliveries
    created = ownership.moment(app.metadata.creation_timestamp) if new else None
    since = created.timestamp() + 1.0 if created else None  # which has whole seconds
    revisions: dict[int, str] = {}
    origins: list[Origin] = []
    answers: dict[tuple[str, str], str] = {}  # two sources may differ by their paths alone
    for number, source in enumerate(wanted.sources):
        origin = checkout.origin_of(engine, source, app.spec.project_name)
        pushed = turn.wishes.get(followed(source).name, "")
        known = before.revisions[number] if before and before.sources == wanted.sources else ""
        if not asked_for[number] and pushed and not refreshed and origin.has(pushed):
            found = pushed
        elif not asked_for[number] and not pushed and stay and known and origin.has(known):
            found = known
        else:
            question = origin.place, asked_for[number] or source.target_revision
            if question not in answers:
                # What was pushed may be in the mirror of another machine: this one asks the host itself.
                hint = "" if asked_for[number] else pushed
                answers[question] = checkout.resolve(engine, origin, question[1], hint, since)
            found = answers[question]
        revisions[number] = found
        origins.append(origin)
    pinned = wanted.moved(revisions)
    named = revisions_of(sync) if sync else ()
    signatures.check(
        engine, project, pinned, origins, named if len(named) == len(origins) else [""] * len(origins)
    )
    trees = [origin.tree(revisions[number]) for number, origin in enumerate(origins)]

    def fetch(source: Source) -> Fetcher:
        return Fetcher(engine.applications, engine.settings, project, source, engine.git_patience_s)

    jobs = jobs_of(app, pinned, trees, engine.settings, fetch, engine.api.discovery)
    made = _within_patience(engine, jobs, anew=anew or refresh_asked(app) == "hard")
    return Made(pinned, made, inputs_of(jobs, made))


def _within_patience(engine: Engine, jobs: Sequence[Job], *, anew: bool) -> Rendered:
    """The render of `jobs`; `anew` takes nothing that was kept. Raises TooSlow when only this process's
    patience was at its end."""
    through = partial(engine.renders.product, anew=anew, hurried=engine.render_patience_s > 0)
    if not engine.render_patience_s:
        return render(jobs, through)
    late = f"not rendered within {engine.render_patience_s:.0f} s: it goes on in the pool slow"
    with within(engine.render_patience_s, lambda: TooSlow(late)):
        return render(jobs, through)


def moved(pinned: Pinned, before: Pinned | None) -> str:
    """Which of several sources are elsewhere than when last looked at, for the time line."""
    known = before.revisions if before and before.sources == pinned.sources else ("",) * len(pinned.sources)
    return ", ".join(
        f"sources[{number}] at {shortened(revision)}"
        for number, (revision, was) in enumerate(zip(pinned.revisions, known, strict=True))
        if pinned.several and revision != was
    )


def _asked_for(app: Application, operation: Operation | None, count: int, news: bool) -> tuple[str, ...]:
    """The revisions that an operation names, one a source; "" where the source's own is meant.

    One operation, one commit, however often tried; unless its retries shall take what is new, and there is
    such `news`.
    """
    none = ("",) * count
    if operation is None:
        return none
    begun = app.status.operation_state if app.operation is None else None
    if operation.retry.refresh and news:
        begun = None
    told = [revisions_of(operation.sync), revisions_of(begun.sync_result if begun else None)]
    named, resolved = (revisions if len(revisions) == count else none for revisions in told)
    return tuple(own or before for own, before in zip(named, resolved, strict=True))

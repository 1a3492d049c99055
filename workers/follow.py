"""One fetch for all applications that follow a repository at a revision; then: whom does it touch?

An app of several sources may follow it by one or more of them. Its other sources are none of the push's
business: they stay where they were, and nobody asks for them.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from mooring import logs
from mooring.errors import MooringError, Refused, Retryable
from mooring.keys import AppKey
from mooring.logs import at
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.store.turns import Turn
from workers import checkout, tell
from workers.apps.patches import state_of
from workers.apps.store import Listing
from workers.engine import Engine
from workers.origin import Origin
from workers.push import positions
from workers.render.files import ids_of
from workers.render.readset import ReadSet, recall
from workers.timeline import Timeline

_log = logging.getLogger(__name__)
Wishes = dict[str, str]
_MOVED = "mooring:moved:"
_AHEAD = "ahead"  # a wish
_FEW = 8  # applications that are told ahead: each is read once more
_OTHERS_WAIT_S = 5.0  # how long pushes in quick succession may keep those from being told that are not ahead


def followers(engine: Engine, name: str, listing: Listing | None = None) -> list[Application]:
    """The applications that the turn `name` is about: those of `listing`, else of all there are now."""
    apps = (listing or engine.applications.list()).apps
    return [app for app in apps if positions(app, name)]


class Following:
    """Whom the newest commit of what a turn is about touches, and what to wish for them.

    Those few that are known to this process are told first (`ahead`): to list all Applications takes longer
    than to sync one, and whoever has a thousand neighbours must not wait for them. `rest` are the others, on
    what is certainly up to date. Both raise Retryable kinds when the host may answer later.
    """

    def __init__(self, engine: Engine, turn: Turn, line: Timeline) -> None:
        self._engine = engine
        self._turn = turn
        self._line = line
        self._before = _told_before(turn)
        # Believed only of just this wish: nobody has wished for anything in between.
        self._told = self._before if self._before.get("seq") == turn.seq else {}
        self.read: dict[AppKey, Application] = {}  # those that `ahead` has told, as it has just read them
        # Asked for beside the projects: no host is asked before both are there.
        engine.executor.submit(engine.applications.repo_secrets)
        self._fetched = _Fetched(engine, turn.wishes.get("hint", ""), line, self._told.get("commit", ""))

    def ahead(self) -> list[tuple[AppKey, Wishes]]:
        """Some that are certainly touched; none where that is not told quickly, or was told before, or where
        the others have waited for long."""
        if self._told or self._engine.clock() > self._before.get("since", math.inf) + _OTHERS_WAIT_S:
            return []
        known = followers(self._engine, self._turn.name, self._engine.applications.known())
        guessed, _ = self._sorted(known)
        if not 0 < len(guessed) <= _FEW:
            return []
        current = self._engine.executor.map(self._engine.applications.get, [key for key, _ in guessed])
        read = {app.key: app for app in current if app is not None}
        touched, _ = self._sorted([*read.values()])
        told = [(key, wishes) for key, wishes in touched if "commit" in wishes]
        self.read = {key: read[key] for key, _ in told}
        return told

    def left(self, ahead: Sequence[tuple[AppKey, Wishes]]) -> Wishes:
        """What to leave with the turn, after these were told, for who goes on where this ends."""
        told = {
            "seq": self._turn.seq,
            "commit": ahead[0][1]["commit"],
            "apps": [str(key) for key, _ in ahead],
            "since": self._before.get("since", self._engine.clock()),
        }
        return {_AHEAD: orjson.dumps(told).decode()}

    def rest(self) -> tuple[list[tuple[AppKey, Wishes]], list[AppKey]]:
        """The applications that are touched and were not told ahead, and the untouched ones.

        An app whose project or Git host says no counts as touched: its own sync says why.
        """
        engine, turn = self._engine, self._turn
        # The host is asked in the meantime: what to ask for is nearly always the same as the last time.
        listing = engine.executor.submit(engine.applications.list)
        for app in followers(engine, turn.name, engine.applications.known()):
            with contextlib.suppress(Refused):  # told below, to those whom it still concerns
                self._fetched.of(app, turn.name)
        touched, untouched = self._sorted(followers(engine, turn.name, listing.result()))
        told = self._told.get("apps", ())
        touched = [(key, wishes) for key, wishes in touched if str(key) not in told]
        if untouched:
            pipe = engine.redis.pipeline(transaction=False)
            pipe.hset(_MOVED + turn.name, mapping={str(key): commit for key, commit in untouched.items()})
            pipe.expire(_MOVED + turn.name, 3600)
            pipe.execute()
            by_commit: dict[str, list[str]] = {}
            for key, commit in untouched.items():
                by_commit.setdefault(commit, []).append(str(key))
            for commit, keys in by_commit.items():
                self._line.untouched(keys, commit)
        return touched, list(untouched)

    def _sorted(self, apps: Sequence[Application]) -> tuple[list[tuple[AppKey, Wishes]], dict[AppKey, str]]:
        """Those that are touched, with what to wish, and those that are not and are elsewhere yet."""
        touched: list[tuple[AppKey, Wishes]] = []
        untouched: dict[AppKey, str] = {}
        looked: list[_Looked] = []
        name = self._turn.name
        for app in apps:
            try:
                origins, revision = self._fetched.of(app, name)
            except Refused:
                touched.append((app.key, {"look": "1"}))
                continue
            before = Pinned.compared(app.status.sync)
            looked.append(_Looked(app, before, origins, revision))
        changed = _touched(looked) | self._signed(looked)
        for one in looked:
            if one.app.key in changed:
                # Each under the name of its turn: a push to another source must not take its place.
                touched.append((one.app.key, {"commit": one.revision, name: one.revision}))
            elif one.before and any(one.before.revisions[n] != one.revision for n in one.origins):
                untouched[one.app.key] = one.revision
        return touched, untouched

    def _signed(self, looked: Sequence[_Looked]) -> set[AppKey]:
        """Those for whom each commit must be looked at, whatever it has changed: it must be signed."""
        names = {one.app.spec.project_name for one in looked}
        projects = {name: self._engine.applications.project(name) for name in names}
        found: set[AppKey] = set()
        for one in looked:
            project, sources = projects[one.app.spec.project_name], one.app.spec.all_sources
            if project.asks_signatures and any(
                project.signers(sources[number].repo_url) is not None for number in one.origins
            ):
                found.add(one.app.key)
        return found


def _told_before(turn: Turn) -> dict[str, Any]:
    """What was told ahead and when that began, with the others left to a later turn."""
    told: dict[str, Any] = orjson.loads(turn.wishes.get(_AHEAD) or "{}")
    return told


class _Fetched:
    """Where the host says that a revision is, asked once per credential; nearly always there is one."""

    def __init__(self, engine: Engine, hint: str, line: Timeline, confirmed: str = "") -> None:
        """`confirmed` is where the host has said a moment ago that the revision is."""
        self._engine = engine
        self._hint = hint
        self._confirmed = confirmed
        self._line = line
        self._origins: dict[tuple[str, bool, str], Origin] = {}
        self._answers: dict[str, str | Refused] = {}

    def of(self, app: Application, name: str) -> tuple[dict[int, Origin], str]:
        """The origins of the app's sources that the turn `name` is about, by position, and the revision.

        Raises Refused when project or host say no.
        """
        project = app.spec.project_name
        sources = checkout.sources_of(app, self._engine.applications.project(project)).sources
        origins: dict[int, Origin] = {}
        revision = ""
        for number in positions(app, name):
            source = sources[number]
            asks = source.repo_url, bool(source.helm and source.helm.pass_credentials), project
            if asks not in self._origins:
                self._origins[asks] = checkout.origin_of(self._engine, source, project)
            origin = self._origins[asks]
            if origin.place not in self._answers:
                there = self._confirmed if self._confirmed and origin.has(self._confirmed) else ""
                self._answers[origin.place] = there or self._ask(origin, source.target_revision)
            answer = self._answers[origin.place]
            if isinstance(answer, Refused):
                raise answer
            origins[number], revision = origin, answer
        return origins, revision

    def _ask(self, origin: Origin, wanted: str) -> str | Refused:
        try:
            revision = checkout.resolve(self._engine, origin, wanted, self._hint)
        except Refused as error:
            return error
        self._line.ended("fetched", revision)
        at(revision)
        return revision


def moving(engine: Engine, name: str) -> dict[str, str]:
    """The applications (`str(AppKey)`) that `moved` is to tell of the turn `name`, each with the revision."""
    commits = cast("dict[bytes, bytes]", engine.redis.hgetall(_MOVED + name))
    return {app.decode(errors="replace"): commit.decode(errors="replace") for app, commit in commits.items()}


def moved(engine: Engine, name: str) -> None:
    """Write the new revision into the status of the apps that it did not touch: one patch each, no more.

    One that cannot be moved now, since Git or its own project says no, is in nobody's way: the next look at
    Git finds it where it was.
    """
    commits = moving(engine, name)
    found: list[tuple[_Looked, Pinned]] = []
    brought: set[tuple[str, str]] = set()
    for app in followers(engine, name):
        commit = commits.get(str(app.key), "")
        before = Pinned.compared(app.status.sync)
        if not commit or before is None or before.sources != app.spec.all_sources:
            continue
        after = before.moved(dict.fromkeys(positions(app, name), commit))
        if after == before:
            continue
        with _moving(app, commit):
            origins = {
                number: checkout.origin_of(engine, before.sources[number], app.spec.project_name)
                for number in positions(app, name)
            }
            for origin in origins.values():
                if (place := (origin.place, commit)) not in brought:
                    origin.bring(commit)  # another worker may have followed the push
                    brought.add(place)
            found.append((_Looked(app, before, origins, commit), after))
    touched = _touched([one for one, _ in found])
    for one, after in found:
        if one.app.key not in touched:
            with _moving(one.app, one.revision):
                tell.moved(engine, one.app, after)


@contextlib.contextmanager
def _moving(app: Application, commit: str) -> Iterator[None]:
    with logs.about(app=str(app.key), commit=commit):
        try:
            yield
        except (Refused, Retryable) as error:
            _log.warning("application %s is not moved to %s: %s", app.key, commit, error)


@dataclass(frozen=True, slots=True)
class _Looked:
    """An app and where it was, `origins` of the sources that the push is about, by position, and the revision
    that they are at now."""

    app: Application
    before: Pinned | None
    origins: Mapping[int, Origin]
    revision: str


def _touched(looked: Sequence[_Looked]) -> set[AppKey]:
    """Those for whom anything that their last render read is different now, or whose last try failed.

    Each tree is asked once, for whatever all of them have read of it.
    """
    # Of many apps nearly all were read the last time, too.
    reads = {one.app.key: found for one in looked if (found := one.app.once(_read_sets)) is not None}
    paths: dict[tuple[str, str], set[str]] = {}
    origins: dict[tuple[str, str], Origin] = {}
    for one in looked:
        for number, origin in one.origins.items():
            if one.app.key in reads:
                place = origin.place, one.revision
                origins[place] = origin
                paths.setdefault(place, set()).update(path for path, _ in reads[one.app.key][number].paths)
    ids: dict[tuple[str, str], Mapping[str, str | None]] = {}
    for place, origin in origins.items():
        with contextlib.suppress(MooringError):
            ids[place] = ids_of(origin.tree(place[1]), place[1], paths[place])
    untouched = {
        one.app.key
        for one in looked
        if one.app.key in reads
        and all(
            (there := ids.get((origin.place, one.revision))) is not None
            and reads[one.app.key][number].holds(there)
            for number, origin in one.origins.items()
        )
    }
    return {one.app.key for one in looked} - untouched


def _read_sets(app: Application) -> tuple[ReadSet, ...] | None:
    """What the app's last render read; None when that does not tell whether it must be looked at."""
    state, operation = state_of(app), app.status.operation_state
    if not state.inputs or (operation is not None and operation.phase != "Succeeded"):
        return None
    if app.status.sync is None or app.status.sync.status == "Unknown":
        return None
    before = Pinned.compared(app.status.sync)
    if before is None or before.sources != app.spec.all_sources:
        return None
    try:
        reads = recall(state.inputs)
    except ValueError:
        return None
    return reads if len(reads) == len(before.sources) else None

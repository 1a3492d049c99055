"""One fetch for all applications that follow a repository at a revision; then: whom does it touch?

An app of several sources may follow it by one or more of them. Its other sources are none of the push's
business: they stay where they were, and nobody asks for them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import cast

from mooring import logs
from mooring.errors import MooringError, Refused, Retryable
from mooring.keys import AppKey
from mooring.logs import at
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.store.turns import Turn
from workers import checkout, tell
from workers.apps.store import Listing
from workers.engine import Engine
from workers.origin import Origin
from workers.push import positions
from workers.render.readset import recall
from workers.timeline import Timeline

_log = logging.getLogger(__name__)
Wishes = dict[str, str]
_MOVED = "mooring:moved:"


def followers(engine: Engine, name: str, listing: Listing | None = None) -> list[Application]:
    """The applications that the turn `name` is about: those of `listing`, else of all there are now."""
    apps = (listing or engine.applications.list()).apps
    return [app for app in apps if positions(app, name)]


def follow(engine: Engine, turn: Turn, line: Timeline) -> tuple[list[tuple[AppKey, Wishes]], list[AppKey]]:
    """The applications that the newest commit touches, with what to wish for them, and the untouched ones.

    An app whose project or Git host says no counts as touched: its own sync says why. Raises Retryable
    kinds when the host may answer later.
    """
    touched: list[tuple[AppKey, Wishes]] = []
    untouched: dict[AppKey, str] = {}
    name = turn.name
    fetched = _Fetched(engine, turn.wishes.get("hint", ""), line)
    # Whom it touches is decided on what is certainly up to date. The host is asked in the meantime: what
    # to ask for is nearly always the same as the last time.
    listing = engine.executor.submit(engine.applications.list)
    for app in followers(engine, name, engine.applications.known()):
        with contextlib.suppress(Refused):  # told below, to those whom it still concerns
            fetched.of(app, name)
    for app in followers(engine, name, listing.result()):
        try:
            origins, revision = fetched.of(app, name)
        except Refused:
            touched.append((app.key, {"look": "1"}))
            continue
        before = Pinned.compared(app.status.sync)
        if before is None or _touches(engine, app, before, origins, revision):
            # Each under the name of its turn: a push to another source must not take its place.
            touched.append((app.key, {"commit": revision, name: revision}))
        elif any(before.revisions[number] != revision for number in origins):
            untouched[app.key] = revision
    if untouched:
        pipe = engine.redis.pipeline(transaction=False)
        pipe.hset(_MOVED + turn.name, mapping={str(key): commit for key, commit in untouched.items()})
        pipe.expire(_MOVED + turn.name, 3600)
        pipe.execute()
    return touched, list(untouched)


class _Fetched:
    """Where the host says that a revision is, asked once per credential; nearly always there is one."""

    def __init__(self, engine: Engine, hint: str, line: Timeline) -> None:
        self._engine = engine
        self._hint = hint
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
                self._answers[origin.place] = self._ask(origin, source.target_revision)
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
    for app in followers(engine, name):
        commit = commits.get(str(app.key), "")
        before = Pinned.compared(app.status.sync)
        if not commit or before is None or before.sources != app.spec.all_sources:
            continue
        after = before.moved(dict.fromkeys(positions(app, name), commit))
        if after == before:
            continue
        with logs.about(app=str(app.key), commit=commit):
            try:
                origins = {
                    number: checkout.origin_of(engine, before.sources[number], app.spec.project_name)
                    for number in positions(app, name)
                }
                for origin in origins.values():
                    origin.bring(commit)  # another worker may have followed the push
                if not _touches(engine, app, before, origins, commit):
                    tell.moved(engine, app, after)
            except (Refused, Retryable) as error:
                _log.warning("application %s is not moved to %s: %s", app.key, commit, error)


def _touches(
    engine: Engine, app: Application, before: Pinned, origins: Mapping[int, Origin], revision: str
) -> bool:
    """Whether anything that the app's last render read is different at `revision`, or its last try failed.

    `origins` are those of the sources that the push is about, by position.
    """
    state = engine.applications.state(app)
    operation = app.status.operation_state
    if not state.inputs or (operation is not None and operation.phase != "Succeeded"):
        return True
    if app.status.sync is None or app.status.sync.status == "Unknown":
        return True
    if before.sources != app.spec.all_sources:
        return True
    try:
        reads = recall(state.inputs)
        if len(reads) != len(before.sources):
            return True
        return any(
            reads[number].at(origin.tree(revision).tree_id, revision) != reads[number]
            for number, origin in origins.items()
        )
    except (MooringError, ValueError):
        return True

"""One fetch for all applications that follow a repository at a revision; then: whom does it touch?"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import cast

from mooring import logs
from mooring.errors import GitFailed, MooringError, Refused
from mooring.keys import AppKey
from mooring.logs import at
from mooring.model.application import Application
from mooring.model.spec import Source
from mooring.store.turns import Turn
from workers import checkout, tell
from workers.apps.store import Listing
from workers.engine import Engine
from workers.git.mirror import Mirror
from workers.push import group
from workers.render.readset import recall
from workers.timeline import Timeline

_log = logging.getLogger(__name__)
Wishes = dict[str, str]
_MOVED = "mooring:moved:"


def followers(engine: Engine, name: str, listing: Listing | None = None) -> list[Application]:
    """The applications that the turn `name` is about: those of `listing`, else of all there are now."""
    apps = (listing or engine.applications.list()).apps
    return [app for app in apps if (wanted := group(app)) is not None and wanted.name == name]


def follow(engine: Engine, turn: Turn, line: Timeline) -> tuple[list[tuple[AppKey, Wishes]], list[AppKey]]:
    """The applications that the newest commit touches, with what to wish for them, and the untouched ones.

    An app whose project or Git host says no counts as touched: its own sync says why. Raises GitFailed when
    the host may answer later.
    """
    touched: list[tuple[AppKey, Wishes]] = []
    untouched: dict[AppKey, str] = {}
    fetched = _Fetched(engine, turn.wishes.get("hint", ""), line)
    # Whom it touches is decided on what is certainly up to date. The host is asked in the meantime: what
    # to ask for is nearly always the same as the last time.
    listing = engine.executor.submit(engine.applications.list)
    for app in followers(engine, turn.name, engine.applications.known()):
        with contextlib.suppress(Refused):  # told below, to those whom it still concerns
            fetched.of(app)
    for app in followers(engine, turn.name, listing.result()):
        try:
            mirror, commit = fetched.of(app)
        except Refused:
            touched.append((app.key, {"look": "1"}))
            continue
        if _touches(engine, app, commit, mirror):
            touched.append((app.key, {"commit": commit, "follows": turn.name}))
        elif app.status.sync is not None and app.status.sync.revision != commit:
            untouched[app.key] = commit
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
        self._mirrors: dict[tuple[str, str], Mirror] = {}
        self._answers: dict[Path, str | Refused] = {}

    def of(self, app: Application) -> tuple[Mirror, str]:
        """The app's mirror and the commit, which is in it. Raises Refused when project or host say no."""
        project = app.spec.project_name
        source = checkout.source_of(app, self._engine.applications.project(project))
        place = source.repo_url, project
        if place not in self._mirrors:
            self._mirrors[place] = checkout.mirror_of(self._engine, source, project)
        mirror = self._mirrors[place]
        if mirror.home not in self._answers:
            self._answers[mirror.home] = self._ask(source, project)
        answer = self._answers[mirror.home]
        if isinstance(answer, Refused):
            raise answer
        return mirror, answer

    def _ask(self, source: Source, project: str) -> str | Refused:
        try:
            _, commit = checkout.resolve(self._engine, source, project, hint=self._hint)
        except Refused as error:
            return error
        self._line.ended("fetched", commit)
        at(commit)
        return commit


def moving(engine: Engine, name: str) -> dict[str, str]:
    """The applications (`str(AppKey)`) that `moved` is to tell of the turn `name`, and the commit of each."""
    commits = cast("dict[bytes, bytes]", engine.redis.hgetall(_MOVED + name))
    return {app.decode(errors="replace"): commit.decode(errors="replace") for app, commit in commits.items()}


def moved(engine: Engine, name: str) -> None:
    """Write the new commit into the status of the apps that it did not touch: one patch each, no more.

    One that cannot be moved now, since Git or its own project says no, is in nobody's way: the next look at
    Git finds it where it was.
    """
    commits = moving(engine, name)
    for app in followers(engine, name):
        commit = commits.get(str(app.key), "")
        source, sync = app.spec.source, app.status.sync
        if not commit or source is None or sync is None or sync.revision == commit:
            continue
        with logs.about(app=str(app.key), commit=commit):
            try:
                mirror = checkout.mirror_of(engine, source, app.spec.project_name)
                mirror.fetch_commit(commit)  # another worker may have followed the push
                if not _touches(engine, app, commit, mirror):
                    tell.moved(engine, app, commit)
            except (Refused, GitFailed) as error:
                _log.warning("application %s is not moved to %s: %s", app.key, commit, error)


def _touches(engine: Engine, app: Application, commit: str, mirror: Mirror) -> bool:
    """Whether anything that the app's last render read is different in `commit`, or its last try failed."""
    state = engine.applications.state(app)
    operation = app.status.operation_state
    if not state.inputs or (operation is not None and operation.phase != "Succeeded"):
        return True
    if app.status.sync is None or app.status.sync.status == "Unknown":
        return True
    assert app.spec.source is not None
    try:
        compared = app.status.sync.compared_to
        if compared is None or compared.source != app.spec.source:
            return True
        return any(read.at(mirror.tree.tree_id, commit) != read for read in recall(state.inputs))
    except (MooringError, ValueError):
        return True

"""One fetch for all applications that follow a repository at a revision; then: whom does it touch?"""

from __future__ import annotations

from typing import cast

from mooring.errors import MooringError, Refused
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.store.turns import Turn
from workers import checkout
from workers.engine import Engine
from workers.git.mirror import Mirror
from workers.push import group
from workers.render.readset import recall
from workers.timeline import Timeline

Wishes = dict[str, str]
_MOVED = "mooring:moved:"


def followers(engine: Engine, name: str) -> list[Application]:
    """The applications that the turn `name` is about."""
    apps = engine.applications.list().apps
    return [app for app in apps if (wanted := group(app)) is not None and wanted.name == name]


def follow(engine: Engine, turn: Turn, line: Timeline) -> tuple[list[tuple[AppKey, Wishes]], list[AppKey]]:
    """The applications that the newest commit touches, with what to wish for them, and the untouched ones.

    An app whose project does not permit the repository counts as touched: its own sync says why. Raises
    GitRefused and GitFailed from the fetch.
    """
    permitted: list[Application] = []
    touched: list[tuple[AppKey, Wishes]] = []
    for app in followers(engine, turn.name):
        try:
            checkout.source_of(app, engine.applications.project(app.spec.project_name))
            permitted.append(app)
        except Refused:
            touched.append((app.key, {"look": "1"}))
    if not permitted:
        return touched, []
    # One question to the host per credential; nearly always there is one.
    mirrors: dict[tuple[str, str], Mirror] = {}
    commits: dict[str, str] = {}
    untouched: dict[AppKey, str] = {}
    for app in permitted:
        source = app.spec.source
        assert source is not None
        project = app.spec.project_name
        if (source.repo_url, project) not in mirrors:
            mirrors[source.repo_url, project] = checkout.mirror_of(engine, source, project)
        mirror = mirrors[source.repo_url, project]
        where = str(mirror.home)
        if where not in commits:
            _, commits[where] = checkout.resolve(engine, source, project, hint=turn.wishes.get("hint", ""))
            line.ended("fetched", commits[where])
        commit = commits[where]
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


def moved(engine: Engine, name: str) -> None:
    """Write the new commit into the status of the apps that it did not touch: one patch each, no more."""
    commits = cast("dict[bytes, bytes]", engine.redis.hgetall(_MOVED + name))
    for app in followers(engine, name):
        commit = commits.get(str(app.key).encode(), b"").decode()
        source, sync = app.spec.source, app.status.sync
        if not commit or source is None or sync is None or sync.revision == commit:
            continue
        mirror = checkout.mirror_of(engine, source, app.spec.project_name)
        mirror.fetch_commit(commit)  # another worker may have followed the push
        if not _touches(engine, app, commit, mirror):
            engine.applications.moved(app, commit)


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
        read = recall(state.inputs)
        return read.at(mirror.tree.tree_id, commit) != read
    except (MooringError, ValueError):
        return True

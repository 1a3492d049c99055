"""What is to be asked of whom, so that all Applications know what is new: one question for all that follow
the same repository by the same credential, whatever their revisions, paths and spellings of its URL.

Hosts of charts are asked for their index once for all charts in it, and only whether it has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from mooring.errors import Refused
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.spec import Source
from mooring.repourl import masked
from mooring.revision import is_commit, resolve
from workers import checkout
from workers.engine import Engine
from workers.git.mirror import names_of
from workers.git.remote import endpoint_of
from workers.origin import RemoteOrigin
from workers.push import Wanted, followed, sources
from workers.remote.http import endpoint_of as web_endpoint_of
from workers.remote.oci import Repository, is_oci
from workers.sync_status import UNKNOWN


@dataclass(frozen=True, slots=True)
class Follower:
    """An app, by one of its sources: `known` is the revision at which that was last compared, "" for never;
    `lost` whether that said nothing of the app."""

    app: AppKey
    known: str
    lost: bool

    def is_told(self, revision: str, *, again: bool) -> bool:
        """Whether the app is to look, now that its source is at `revision` ("": there is no such any more).

        `again`: its host could not be asked for a while. An app that is lost without a revision asks by
        itself.
        """
        return (self.lost and again) or (revision != self.known if revision else not self.lost)


class Question(Protocol):
    """One question to one host."""

    @property
    def key(self) -> str:
        """The same for the same question."""
        ...

    @property
    def host(self) -> str:
        """Who is asked."""
        ...

    @property
    def shown(self) -> str:
        """About what, without credentials."""
        ...

    @property
    def followers(self) -> dict[Wanted, list[Follower]]:
        """Whom the answer concerns."""
        ...

    def news(self, engine: Engine, patience_s: float, *, again: bool) -> list[Wanted]:
        """Ask. What somebody is to look at, with where it is now as the hint. Raises Refused kinds when the
        host says no, Retryable ones when it may answer later."""
        ...


@dataclass(frozen=True, slots=True)
class GitQuestion:
    """Where are those refs of a repository that are followed?"""

    key: str
    host: str
    source: Source
    project: str
    followers: dict[Wanted, list[Follower]] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        return masked(self.source.repo_url)

    def news(self, engine: Engine, patience_s: float, *, again: bool) -> list[Wanted]:
        names = sorted({name for wanted in self.followers for name in names_of(wanted.revision)})
        mirror = checkout.mirror_of(engine, self.source, self.project)
        refs = mirror.list_refs(names, patience_s)
        found: list[Wanted] = []
        for wanted, followers in self.followers.items():
            commit = refs.get(resolve(wanted.revision, refs) or "", "")
            if any(one.is_told(commit, again=again) for one in followers):
                found.append(replace(wanted, hint=commit))
        return found


@dataclass(frozen=True, slots=True)
class RemoteQuestion:
    """Which version of a chart or artifact does a range, a tag or "the newest" mean?"""

    key: str
    host: str
    origin: RemoteOrigin
    since: float  # an index that was asked for since is as good as one that is asked for now
    followers: dict[Wanted, list[Follower]] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        source = self.origin.source
        return f"{masked(source.repo_url)} {source.chart}".rstrip()

    def news(self, engine: Engine, patience_s: float, *, again: bool) -> list[Wanted]:
        found: list[Wanted] = []
        for wanted, followers in self.followers.items():
            version, digest = self.origin.current(wanted.revision, patience_s, self.since)
            looked_at = engine.archives.of(self.origin.place, version)
            if digest != looked_at or any(one.is_told(version, again=again) for one in followers):
                found.append(wanted)
        return found


def questions(engine: Engine, apps: Iterable[Application], since: float) -> list[Question]:
    """All that is to be asked for `apps`, each once. `since` is now, as `time.monotonic` has it.

    What is settled, as a commit is, is not asked for; nor is what a project does not permit, or for which
    there is no usable URL or Secret: an app's own look tells it so.
    """
    found: dict[str, Question] = {}
    for app in apps:
        if app.metadata.deletion_timestamp:
            continue
        try:
            checkout.sources_of(app, engine.applications.project(app.spec.project_name))
        except Refused:
            continue
        for number, source in enumerate(sources(app)):
            wanted = followed(source)
            if wanted.settled or (wanted.pushed and is_commit(wanted.revision)):
                continue
            with contextlib.suppress(Refused):
                asked = _git(engine, app, source) if wanted.pushed else _remote(engine, app, source, since)
                question = found.setdefault(asked.key, asked)
                question.followers.setdefault(wanted, []).append(_follower(app, number))
    return list(found.values())


def _git(engine: Engine, app: Application, source: Source) -> GitQuestion:
    names_of(followed(source).revision)  # raises for what is no revision
    endpoint, project = endpoint_of(source.repo_url), app.spec.project_name
    credential = checkout.credential_of(engine.applications, engine.settings, source, project)
    key = _key("git", followed(source).repo, repr(endpoint), credential.identity)
    return GitQuestion(key, f"{endpoint.host}:{endpoint.port}", source, project)


def _remote(engine: Engine, app: Application, source: Source, since: float) -> RemoteQuestion:
    origin, url = checkout.origin_of(engine, source, app.spec.project_name), source.repo_url
    assert isinstance(origin, RemoteOrigin)
    if is_oci(url):
        named = f"{url.rstrip('/')}/{source.chart}" if source.chart else url
        endpoint = Repository.parse(named, origin.credential.plain_http).endpoint
    else:
        endpoint = web_endpoint_of(url)
    key = _key("remote", origin.place, followed(source).name)
    return RemoteQuestion(key, f"{endpoint.host}:{endpoint.port}", origin, since)


def _follower(app: Application, number: int) -> Follower:
    before, sync = Pinned.compared(app.status.sync), app.status.sync
    same = before is not None and before.sources == app.spec.all_sources
    known = before.revisions[number] if before is not None and same else ""
    return Follower(app.key, known, sync is None or sync.status == UNKNOWN)


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]

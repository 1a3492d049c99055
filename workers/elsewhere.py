"""What renders have fetched from elsewhere: remote bases, dependencies, value files. No app follows these, so
that it is asked here, for all apps that have read it, whether it is still what it was."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from mooring.delivery import Event
from mooring.errors import MooringError, Refused, TooSlow
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.spec import Source
from mooring.names import STATE
from mooring.repourl import ends_with, masked, normalise
from mooring.revision import concerns, is_commit, is_digest, is_version
from mooring.store.polls import Asked, Polls
from mooring.store.turns import Turn
from workers.apps.state import State
from workers.engine import Engine
from workers.fetch import Fetcher
from workers.render.address import Address
from workers.render.readset import recall

ELSEWHERE = "elsewhere:"  # how the names of turns begin
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """An address (`workers.render.address`) as the apps of a project have fetched from it."""

    project: str
    address: str

    @property
    def name(self) -> str:
        """Of the turn."""
        digest = hashlib.sha256(f"{self.project}\n{self.address}".encode()).hexdigest()[:24]
        return f"{ELSEWHERE}{digest}"

    @property
    def wishes(self) -> dict[str, str]:
        """What to wish of the turn: for people alone, who may not see what a URL has for credentials."""
        return {"project": self.project, "address": masked(self.address)}

    @property
    def settled(self) -> bool:
        """Whether nothing else can ever be there: at a commit, at a chart's whole version."""
        match Address.parse(self.address):
            case Address("git", (_, revision)):
                return is_commit(revision)
            case Address("chart", (_, _, version)):
                return is_version(version) or is_digest(version)
        return False

    def concerned(self, event: Event) -> bool:
        """Whether a push may have changed what is there."""
        match Address.parse(self.address):
            case Address("git", (url, revision)):
                repo = normalise(url)
                known = {normalise(each) for each in event.repo_urls}
                return (repo in known or ends_with(repo, event.repo_path)) and any(
                    concerns(revision, change.ref, event.default_branch) for change in event.changes
                )
        return False


@dataclass(frozen=True, slots=True)
class _Read:
    """What the source at `number` has read there."""

    place: Place
    number: int
    digest: str


def places(apps: Iterable[Application]) -> dict[Place, list[AppKey]]:
    """Where the last renders of `apps` have fetched what may be another thing by now, and which apps did."""
    found: dict[Place, list[AppKey]] = {}
    for app in apps:
        for place in {read.place for read in _reads(app) if not read.place.settled}:
            found.setdefault(place, []).append(app.key)
    return found


def changed(engine: Engine, turn: Turn) -> list[AppKey]:
    """The applications for which there is something else now than they have read at the place of `turn`.

    A place is asked once for all of them, by the first that may. Raises TooSlow when only this process's
    patience was too short, and whatever is Retryable when a push waits for it; else such an app is left as
    it is until the next poll.
    """
    reads = [
        (app, source, read)
        for app in engine.applications.list().apps
        for read in _reads(app)
        if read.place.name == turn.name and (source := _source(app, read.number)) is not None
    ]
    if not reads:
        return []
    try:
        digest = _digest(engine, reads[0][2].place, [source for _, source, _ in reads])
    except MooringError as error:
        if isinstance(error, TooSlow) or (turn.deliveries and not isinstance(error, Refused)):
            raise
        _log.warning("%s is not asked for changes: %s", turn.wishes.get("address", turn.name), error)
        _note(engine, turn.name, failed=True)
        return []
    _note(engine, turn.name, failed=False)
    return list(dict.fromkeys(app.key for app, _, read in reads if read.digest != digest))


def _note(engine: Engine, name: str, *, failed: bool) -> None:
    """What cannot be had is passed over by the next polls: by one of them, then by three."""
    polls = Polls(engine.redis)
    known = polls.all().get(name) or Asked(0.0)
    if failed:
        failures = known.failures + 1
        due = engine.clock() + engine.settings.poll_s * 2 ** min(failures, 2)
        polls.put({name: Asked(due, failures)})
    elif known.failures:
        polls.put({name: replace(known, failures=0)})


def _digest(engine: Engine, place: Place, homes: Iterable[Source]) -> str:
    """What is there now. One app may be refused a private host that is another one's own."""
    project = engine.applications.project(place.project)
    refused: Refused | None = None
    asked: set[tuple[str, bool]] = set()
    for home in homes:
        way = normalise(home.repo_url), bool(home.helm and home.helm.pass_credentials)
        if way in asked:
            continue
        asked.add(way)
        try:
            fetch = Fetcher(engine.applications, engine.settings, project, home, engine.git_patience_s)
            return fetch.digest(place.address)
        except Refused as error:
            refused = refused or error
    raise refused or Refused("no application reads it any more")


def _source(app: Application, number: int) -> Source | None:
    """The app's source that has read something, if it is still the same."""
    before, sources = Pinned.compared(app.status.sync), app.spec.all_sources
    if before is None or before.sources != sources or number >= len(sources):
        return None
    return sources[number]


def _reads(app: Application) -> tuple[_Read, ...]:
    text = app.metadata.annotations.get(STATE, "")
    # Every push asks for every app, and nearly none has any.
    return _recalled(app.spec.project_name, text) if "remotes" in text else ()


@lru_cache(maxsize=512)
def _recalled(project: str, state: str) -> tuple[_Read, ...]:
    try:
        read_sets = recall(State.from_json(state).inputs)
    except ValueError:
        return ()
    return tuple(
        _Read(Place(project, address), number, digest)
        for number, read_set in enumerate(read_sets)
        for address, digest in read_set.remotes
    )

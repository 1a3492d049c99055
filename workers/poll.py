"""Asks hosts what is new: most of those of Git never send a lost push again, and those of charts and
artifacts tell nobody.

Each question has a time of its own, so that they are spread over the interval, and costs one request. A host
is asked one question after the other, beside other hosts; one that does not answer is left alone for a while,
and is in nobody's way. Only what is elsewhere than its followers know becomes work: the turn of a push, which
asks and fetches for itself. That a host does not answer, or knows nothing of what is asked, never means that
anything is gone.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

from mooring.errors import GitFailed, Refused, RemoteFailed, Retryable
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.names import DUE, SLOW, TASK_TURN
from mooring.store.due import Step
from mooring.store.polls import Asked, Polls
from workers.about import about
from workers.apps.conditions import REPOSITORY_WARNING
from workers.elsewhere import Place, places
from workers.engine import Engine
from workers.questions import Question, questions
from workers.sync_status import UNKNOWN
from workers.unasked import unasked

_log = logging.getLogger(__name__)
_PATIENCE_S: Final = 10.0
_TOGETHER_S: Final = 120.0  # for a round: what is left is still due in the next one
_HOSTS_AT_ONCE: Final = 8
_AGAIN_S: Final = 10.0  # after a first failure; doubled by each further one, up to the interval
_TELL_AFTER: Final = 2  # failures in a row: one is a hiccup
_SILENT: Final = 2  # failures in a row, of whatever is asked there, by which a host counts as away
_chance: Final = random.SystemRandom()


def poll(engine: Engine, which: str = "") -> None:
    """Ask whatever is to be asked: all of it now, or where `which` is DUE that whose time has come.

    What is elsewhere than it was is wanted; apps whose repository cannot be asked are told so.
    """
    listing, began = engine.applications.list(), time.monotonic()
    found, elsewhere = questions(engine, listing.apps, began), places(listing.apps)
    polls = Polls(engine.redis)
    before = polls.all()
    asking = _Round(engine, before, began + _TOGETHER_S, everything=which != DUE)
    after = asking.times([*(one.key for one in found), *(place.name for place in elsewhere)])
    polls.put(after)  # whoever polls meanwhile does not ask the same
    _want(engine, {place: apps for place, apps in elsewhere.items() if asking.is_due(place.name)})
    hosts: dict[str, list[Question]] = {}
    for question in found:
        if asking.is_due(question.key) and asking.may_ask(question.host):
            hosts.setdefault(question.host, []).append(question)
    # Where all are well is asked first, and kept waiting by nobody.
    ordered = sorted(hosts.values(), key=lambda asked: max(asking.failures(one) for one in asked))
    with ThreadPoolExecutor(_HOSTS_AT_ONCE, "poll") as threads:
        for answers in threads.map(asking.ask, ordered):
            after |= answers
    if not listing.broken:
        keys = {key for one in found for key in (one.key, one.host)} | {place.name for place in elsewhere}
        polls.drop(before.keys() - keys)
    _tell(engine, listing.apps, found, before | after)


def waiting(engine: Engine, apps: Iterable[Application]) -> frozenset[AppKey]:
    """Those of `apps` that could not be compared, and whose host does not answer: each look would wait for it
    in vain, one after the other. They are wanted once it answers again."""
    lost = [app for app in apps if app.status.sync is not None and app.status.sync.status == UNKNOWN]
    if not lost:
        return frozenset()
    known, now = Polls(engine.redis).all(), engine.clock()
    return frozenset(
        one.app
        for question in questions(engine, lost, time.monotonic())
        if (host := known.get(question.host)) is not None and host.failures and host.due > now
        for followers in question.followers.values()
        for one in followers
    )


def soon(engine: Engine, app: Application) -> None:
    """Have the next round ask for what `app` says cannot be asked: a look has just asked for it."""
    if not any(one.type == REPOSITORY_WARNING for one in app.status.conditions):
        return
    polls = Polls(engine.redis)
    keys = {key for one in questions(engine, [app], time.monotonic()) for key in (one.key, one.host)}
    polls.put({key: replace(one, due=0.0) for key, one in polls.all().items() if key in keys})


@dataclass(frozen=True, slots=True)
class _Round:
    """One time of asking. `before` is what is known by question and by host, of the times before."""

    engine: Engine
    before: Mapping[str, Asked]
    deadline: float  # as `time.monotonic` has it
    everything: bool
    now: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "now", self.engine.clock())

    def is_due(self, key: str) -> bool:
        return self.everything or (key in self.before and self.before[key].due <= self.now)

    def may_ask(self, host: str) -> bool:
        """Whether a host that did not answer has been left alone for long enough."""
        return self.everything or self._known(host).due <= self.now

    def failures(self, question: Question) -> int:
        return self._known(question.key).failures + self._known(question.host).failures

    def times(self, keys: Iterable[str]) -> dict[str, Asked]:
        """When those that are due are asked the next time, and those that are new the first time."""
        found: dict[str, Asked] = {}
        for key in keys:
            if self.is_due(key):
                found[key] = replace(self._known(key), due=self._regularly())
            elif key not in self.before:  # its app asks by itself when it comes
                found[key] = Asked(self.now + self.engine.settings.poll_s * _chance.random())
        return found

    def ask(self, asked: Sequence[Question]) -> dict[str, Asked]:
        """Ask one host all that, and want what is elsewhere; what is known now that was not before, and is
        remembered already: whatever happens to others takes nothing from it."""
        after, silent, host = dict[str, Asked](), 0, asked[0].host
        patience = min(self.engine.git_patience_s, _PATIENCE_S)
        for question in sorted(asked, key=self.failures):
            known, began = self._known(question.key), time.monotonic()
            if silent >= _SILENT or began >= self.deadline:
                after[question.key] = replace(known, due=self.now)
                continue
            try:
                for wanted in question.news(self.engine, patience, again=self.failures(question) > 0):
                    self.engine.wake(wanted.name, wanted.wishes)
            except (GitFailed, RemoteFailed) as error:
                after[question.key] = self._failed(known, error)
                silent += _SILENT if error.after > 1 or time.monotonic() - began >= patience else 1
                if silent >= _SILENT:
                    after[host] = self._failed(self._known(host), error)
                continue
            except Refused as error:  # it has answered
                after[question.key], silent = self._failed(known, error), 0
                continue
            except (
                Retryable,
                OSError,
            ) as error:  # the cluster, Redis, this disk: nothing about the host
                ours = Retryable(f"{question.shown} cannot be asked: {error}")
                after[question.key] = self._failed(known, ours)
                continue
            silent = 0
            if known.failures:
                _log.info("%s can be asked for news again", question.shown)
                after[question.key] = Asked(self._regularly())
        if host in self.before and host not in after:
            after[host] = Asked(self.now)
        Polls(self.engine.redis).answer(after)
        return after

    def _failed(self, known: Asked, error: Refused | Retryable) -> Asked:
        interval = self.engine.settings.poll_s
        failures, wait = known.failures + 1, interval
        if isinstance(error, Retryable):
            wait = max(error.after, min(interval, _AGAIN_S * 2 ** min(known.failures, 16)))
        else:
            failures = max(failures, _TELL_AFTER)  # no hiccup: somebody has to mend it
        if not known.failures:
            _log.warning("not asked for news: %s", error)
        return Asked(self.engine.clock() + wait * _chance.uniform(0.8, 1.0), failures, str(error))

    def _regularly(self) -> float:
        return self.now + self.engine.settings.poll_s * _chance.uniform(0.8, 1.0)

    def _known(self, key: str) -> Asked:
        return self.before.get(key) or Asked(0.0)


def _want(engine: Engine, found: Mapping[Place, Sequence[AppKey]]) -> None:
    """What renders have fetched from elsewhere is asked for where a slow host is in nobody's way."""
    for place, readers in found.items():
        if engine.turns.want(place.name, place.wishes, background=True):
            shown = about(place.name, place.wishes, apps=readers)
            engine.send(Step(TASK_TURN, (place.name,), SLOW, shown))


def _tell(
    engine: Engine, apps: Iterable[Application], found: Iterable[Question], known: Mapping[str, Asked]
) -> None:
    """Say on each app which of its repositories cannot be asked, and no more once they can."""
    reasons: dict[AppKey, set[str]] = {}
    for question in found:
        if why := _why(question, known):
            for followers in question.followers.values():
                for one in followers:
                    reasons.setdefault(one.app, set()).add(why)
    for app in apps:
        # Who could not even be compared says why himself.
        compared = app.status.sync is not None and app.status.sync.status != UNKNOWN
        if not app.metadata.deletion_timestamp:
            unasked(engine, app, reasons.get(app.key, ()) if compared else ())


def _why(question: Question, known: Mapping[str, Asked]) -> str:
    """Why a repository cannot be asked, "" where it can. No other repository of its host is named: it may be
    another team's."""
    own, host = known.get(question.key), known.get(question.host)
    if own is not None and own.failures >= _TELL_AFTER:
        return own.why
    if host is not None and host.failures >= _TELL_AFTER:
        return f"the host of {question.shown} does not answer"
    return ""

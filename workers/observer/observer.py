"""What the observer does: hears of applications, and has each told to the cluster that it is deployed to.

The home cluster is the first of these, and has its turns in this thread: there are the applications, projects
and Secrets of all others. Each of those has its turns in a thread of its own, so that none waits for another.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from queue import Empty, SimpleQueue
from typing import Final

from mooring.errors import ClusterRefused, ClusterUnavailable, MooringError, Refused, StoreUnavailable
from mooring.keys import AppKey, ClusterRef
from mooring.model.spec import Destination
from mooring.names import ARGO_GROUP
from workers.apps.repositories import CLUSTERS, cluster_secret
from workers.apps.store import Applications
from workers.apps.wishes import EDITION, standing
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.cluster.watch import Changed, Gone, Listed, watch
from workers.clusters.named import is_home, others, ref_of
from workers.clusters.secret import ClusterSecret
from workers.health import BUILT_IN, Judge
from workers.health.custom import Judges
from workers.installation import SECRET
from workers.observer.awaits import worked_on
from workers.observer.other import Other
from workers.observer.patience import Patience
from workers.observer.projects import Projects
from workers.observer.site import TURNS_S, Site, Wakers, woken
from workers.observer.watches import Heard, Place, no_thread, why

_log = logging.getLogger(__name__)
_ASKED_AGAIN_S: Final = 300.0  # whether a watch that was forbidden is permitted by now
_NO_THREAD_S: Final = 30.0  # whether a thread can be had by now
_CONFIG_S: Final = 5.0  # how often argocd-cm is looked at
_REFRESHES_S: Final = 2.0  # until it is asked for a refresh again that is still written on an application
_EACH: Final = 50  # applications are asked for one by one, and for more there is a list of all


class Observer:
    """`api` is the home cluster's, which has the `applications`; `judges` say how objects are, `programs` may
    be run for the credentials of other clusters."""

    def __init__(
        self,
        api: Api,
        applications: Applications,
        namespace: str,
        wakers: Wakers,
        judges: Judges,
        programs: frozenset[str] = frozenset(),
    ) -> None:
        self._api = api
        self._applications = applications
        self._namespace = namespace
        self._wakers = wakers
        self._programs = programs
        self._records, selector = applications.records()
        self._records_at = Place(self._records.group, self._records.kind, selector, namespace)
        self._projects_at = Place(ARGO_GROUP, "AppProject", "", namespace)
        self._secrets_at = Place("", SECRET.kind, CLUSTERS, namespace)
        # When to begin, unless watched.
        self._from = {self._records_at: 0.0, self._projects_at: 0.0, self._secrets_at: 0.0}
        self._ended = Patience(_ASKED_AGAIN_S)
        self._told: dict[Place, str] = {}  # what is not watched, and why
        self._judges = judges
        self._judge: Judge = BUILT_IN
        self._config: Mapping[str, str] | None = None  # what argocd-cm said last
        self._config_until = 0.0
        self._unread = ""  # why the newest checks are not read
        self._projects = Projects()
        self._secrets: dict[str, ClusterSecret] = {}  # by the name of the Secret
        self._again = False  # all applications are to be read
        # Those are to be read that are deployed to these, or to nobody knows which.
        self._affected: set[ClusterRef | None] = set()
        self._begun = SimpleQueue[ClusterRef]()  # clusters that have begun to listen
        self._named: Mapping[str, tuple[str, str]] = {}  # what each Secret calls its cluster: server and name
        self._records_of: dict[AppKey, str] = {}  # what an application's record is called, where otherwise
        self._at: dict[AppKey, ClusterRef | None] = {}  # where each is; None where nobody knows
        self._wishes: dict[AppKey, Mapping[str, str]] = {}  # to be wanted
        self._refreshes: dict[AppKey, Mapping[str, str]] = {}  # the same, as long as a refresh is among them
        self._refreshed_at = 0.0
        hears: dict[Place, Callable[[Heard], None]] = {
            self._records_at: self._hear_of_applications,
            self._projects_at: self._hear_of_projects,
            self._secrets_at: self._hear_of_secrets,
        }
        self._home = Site(
            api,
            namespace,
            wakers,
            lambda: self._judge.of(api.cluster),
            applications=self._records_at,
            hears=hears,
        )
        self._others: dict[ClusterRef, Other] = {}
        self._others_from = math.inf  # when to begin those for which no thread could be had

    def run(self, pulse: Callable[[], None]) -> None:
        """Watch and wake until the process ends; calls `pulse` every second or so.

        Raises ClusterRefused when the applications may not be watched.
        """
        while True:
            pulse()
            self._watch()
            self._read_config()
            self._home.hear()
            try:
                self._read_anew()
                self._wake()
            except StoreUnavailable as error:
                _log.warning("nobody is woken: %s", error)
                time.sleep(TURNS_S)
                continue
            if not woken(self._home):
                time.sleep(TURNS_S)

    def _read_config(self) -> None:
        """Where argocd-cm has changed, applications are read again; where health checks have, all that is
        waited for is looked at anew."""
        if time.monotonic() < self._config_until:
            return
        self._config_until = time.monotonic() + _CONFIG_S
        try:
            said = self._applications.config()
            self._again |= self._config is not None and said != self._config
            self._config = said
            self._judge = self._judges.still(self._judge)
        except MooringError as error:  # workers say so, too, where people see it
            if str(error) != self._unread:
                _log.warning("health is judged by the checks that were read last: %s", error)
            self._unread = str(error)
            return
        self._unread = ""

    # --- what is heard ------------------------------------------------------------------------------
    def _hear_of_applications(self, change: Heard) -> None:
        match change:
            case ClusterRefused():
                raise change
            case Exception():
                self._not_watched(self._records_at, change, "Applications", "all is seen by time")
            case Listed(objects):
                before, self._at = self._at, {}
                for live in objects:
                    self._read(Changed(live), before)
                for key in before.keys() - self._at.keys():
                    self._told_gone(key, before[key])
            case Changed() | Gone():
                self._read(change, self._at)

    def _read(self, change: Changed | Gone, before: Mapping[AppKey, ClusterRef | None]) -> None:
        """Tell of an application; `before` is where it was."""
        try:
            app = self._applications.told(change.live)
            if app is None:
                return
            was, key = before.get(app.key), app.key
            if change.live.key.name != key.name:
                self._records_of[key] = change.live.key.name
            if isinstance(change, Gone):
                self._at.pop(key, None)
                self._records_of.pop(key, None)
                self._told_gone(key, was)
            else:
                at = ref_of(app.spec.destination, self._api.cluster, self._secrets_known)
                if at is None and self._home.has_any({key}):
                    at = self._api.cluster  # by a name that a Secret gives it which nobody may see here
                self._at[key] = at
                if at != was:
                    self._told_gone(key, was)
                if site := self._site(at):
                    site.tell(key, app)
            wishes = {} if isinstance(change, Gone) else standing(self._applications, app)
            if worked_on(app):  # it says in a moment what was looked at; where it does not, beat sees that
                wishes.pop(EDITION, None)
            if wishes:
                self._wishes[key] = wishes
            if "refresh" in wishes and not app.metadata.deletion_timestamp:
                self._refreshes[key] = wishes
            else:
                self._refreshes.pop(key, None)
        except Refused:
            return  # one that cannot be read says so itself, and waits for nothing but time
        except MooringError as error:  # beat looks at all of them
            _log.warning("application %s: %s", change.live.key.name, error)
        except Exception as error:  # what nobody foresaw of one ends nothing for the others
            _log.warning("application %s: %s", change.live.key.name, why(error))

    def _told_gone(self, key: AppKey, was: ClusterRef | None) -> None:
        self._refreshes.pop(key, None)
        if site := self._site(was):
            site.tell(key, None)

    def _site(self, at: ClusterRef | None) -> Site | Other | None:
        if at is None:
            return None
        return self._home if at == self._api.cluster else self._others.get(at)

    def _secrets_known(self) -> tuple[ClusterSecret, ...]:
        return tuple(self._secrets.values())

    def _hear_of_projects(self, change: Heard) -> None:
        match change:
            case Exception():
                self._not_watched(self._projects_at, change, "AppProjects", "edits of them are seen by time")
            case Listed() | Changed() | Gone():
                self._told.pop(self._projects_at, None)
                if self._projects.hear(change):
                    self._again = True

    def _hear_of_secrets(self, change: Heard) -> None:
        match change:
            case Exception():
                unheard = "one that comes, changes or goes is not followed"
                unheard = unheard if self._secrets else "what happens in other clusters is seen by time"
                self._not_watched(self._secrets_at, change, "cluster Secrets", unheard)
                return  # what they said last holds until they are seen again
            case Listed(objects):
                self._told.pop(self._secrets_at, None)
                self._secrets = {live.key.name: cluster_secret(live) for live in objects}
            case Changed(live):
                self._secrets[live.key.name] = cluster_secret(live)
            case Gone(live):
                self._secrets.pop(live.key.name, None)
            case _:
                return
        self._follow_secrets()

    def _follow_secrets(self) -> None:
        """Have each cluster observed that a Secret tells of, as it is told now."""
        self._others_from = math.inf
        wanted = {ClusterRef(one.server): one for one in others(self._api.cluster, self._secrets_known)}
        for ref, other in list(self._others.items()):
            if not other.is_as(wanted.get(ref)):
                self._others.pop(ref).end()
        for ref, secret in wanted.items():
            if ref not in self._others:
                try:
                    self._others[ref] = self._other(secret)
                except RuntimeError:
                    self._others_from = time.monotonic() + _NO_THREAD_S
                    no_thread("clusters are")
                    break
        named = {one.secret: (one.server, one.name) for one in self._secrets.values()}
        # An app may be in another cluster by now. Those of one that is opened otherwise are read once it has
        # begun, and what else a Secret says makes no difference here.
        for server in {server for _, (server, _) in self._named.items() ^ named.items()}:
            home = is_home(Destination(server=server), self._api.cluster)
            self._affected |= {None, self._api.cluster if home else ClusterRef(server)}
        self._named = named

    def _other(self, secret: ClusterSecret) -> Other:
        return Other(
            secret,
            self._programs,
            self._namespace,
            self._wakers,
            lambda: self._judge.of(secret.server),
            lambda: self._begun.put(ClusterRef(secret.server)),
        )

    def _not_watched(self, place: Place, error: Exception, what: str, then: str) -> None:
        """Begin again after a while, first soon: rights may be on their way, too."""
        now = time.monotonic()
        self._ended.told(place, now)
        wait = self._ended.left(place, now)
        self._from[place] = now + wait
        self._home.watches.drop(place)
        said = why(error)
        if not isinstance(error, ClusterRefused):
            _log.warning("%s are not watched for %.0f s, %s: %s", what, wait, then, said)
        elif self._told.get(place) != said and error.code == HTTPStatus.FORBIDDEN:  # it may be meant so
            _log.info("%s are not watched, %s: the observer has no right to list and watch them", what, then)
        elif self._told.get(place) != said:
            _log.warning("%s are not watched, %s: %s", what, then, said)
        self._told[place] = said

    def _read_anew(self) -> None:
        """Read applications again: all of them where one is deployed here after all, or a project or
        argocd-cm was edited (those that were last looked at under what it said before have another edition
        now, and no others); those of a cluster that has begun, or of which a Secret says something else."""
        self._again |= self._home.has_any({key for key, at in self._at.items() if at is None})
        with contextlib.suppress(Empty):
            while True:
                self._affected.add(self._begun.get_nowait())
        if not self._again and not self._affected:
            return
        try:
            self._applications.forget_rules()
            records = self._records_again()  # no older than what was heard of them
        except ClusterUnavailable as error:
            _log.debug("applications are not read again yet: %s", error)
            return
        before = dict(self._at)
        if self._again:  # of one that cannot be read nothing is known any more
            self._at = {key: at for key, at in before.items() if at is not None}
        self._again, self._affected = False, set()
        for record in records:
            self._read(Changed(record), before)

    def _records_again(self) -> Iterable[Live]:
        names = {self._records_of.get(key, key.name) for key, at in self._at.items() if at in self._affected}
        if not self._again and len(names) <= _EACH:
            found = (self._api.get(self._records, self._namespace, name) for name in sorted(names))
            return [one for one in found if one is not None]
        records = self._api.list(self._records, self._namespace, self._records_at.label)
        return records if self._again else [one for one in records if one.key.name in names]

    def _wake(self) -> None:
        if time.monotonic() - self._refreshed_at >= _REFRESHES_S:
            # What is asked for just as the last one ends says the same: it may have been taken for that.
            self._refreshed_at = time.monotonic()
            self._wishes = {**self._refreshes, **self._wishes}
        for key, wishes in list(self._wishes.items()):
            self._wakers.wake(key, wishes, "wish", hurried=True, standing=True)
            del self._wishes[key]

    # --- what is watched ----------------------------------------------------------------------------
    def _begin(self, place: Place, kind: Kind) -> None:
        self._home.watches.begin(
            place,
            lambda ends: watch(self._api, kind, place.namespace, place.label, ends=ends),
            whole=True,
        )

    def _watch(self) -> None:
        kinds = {
            self._records_at: self._records,
            self._projects_at: self._applications.project_records(),
            self._secrets_at: SECRET,
        }
        for place, kind in kinds.items():
            if kind is None or self._home.watches.get(place) or time.monotonic() < self._from[place]:
                continue
            self._begin(place, kind)
        if self._others_from <= time.monotonic():
            self._follow_secrets()

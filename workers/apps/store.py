"""What the rest of the engine asks about Applications, wherever they live."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from mooring.keys import AppKey, ClusterRef, ObjectKey
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.project import AppProject
from mooring.model.spec import Operation
from mooring.model.status import ApplicationStatus, OperationState
from workers.apps.state import State
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.clusters.secret import ClusterSecret
from workers.git.credentials import RepoSecret
from workers.signatures.keys import Keys


@dataclass(frozen=True, slots=True)
class Broken:
    """An Application that cannot be read, and why. `key` is None where not even its name is known.

    `has` is what it had in Git when it was last looked at, as far as its status can still be read; `stray`
    is what is certainly no Application.
    """

    key: AppKey | None
    message: str
    has: frozenset[ObjectKey] = frozenset()
    stray: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """All Applications: those that can be read, and the others."""

    apps: tuple[Application, ...]
    broken: tuple[Broken, ...] = ()

    @property
    def there(self) -> set[AppKey] | None:
        """Whose Applications there are, be they broken; None where one of those may be anybody's."""
        if any(one.key is None and not one.stray for one in self.broken):
            return None
        return {app.key for app in self.apps} | {one.key for one in self.broken if one.key is not None}


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry out one operation, until somebody claims the next one.

    `app` is as it was right after, `state` what was written into its status.operationState.
    """

    key: AppKey
    id: str
    uid: str
    app: Application
    state: OperationState


class Applications(Protocol):
    """The Applications of one installation. Safe for threads.

    Every method may raise ClusterUnavailable and ClusterRefused. Writes are guarded: see each.
    """

    def list(self) -> Listing:
        """All of them. One that cannot be read is listed as broken and shown an InvalidSpecError."""
        ...

    def recent(self) -> Listing:
        """`list`, up to a second old: for finding out whom a push or a wish concerns, never for deciding or
        writing."""
        ...

    def known(self) -> Listing:
        """The last `list` or `recent` of this process, however old, with what it has read or written of
        single ones since: for guesses that cost only work."""
        ...

    def get(self, key: AppKey, *, since: str = "") -> Application | None:
        """One of them, None when there is none. Raises Refused when it cannot be read.

        `since`: no older than this version, which somebody has seen; and perhaps not newer, so not for who
        decides what is to be written.
        """
        ...

    def records(self) -> tuple[Kind, str]:
        """The objects of Mooring's namespace that tell of Applications: their kind and label selector."""
        ...

    def told(self, record: Live) -> Application | None:
        """The application that such an object tells of; None for one that is nobody's.

        Raises Refused when it cannot be read.
        """
        ...

    def state(self, app: Application) -> State:
        """What we remember of `app`, as it was read."""
        ...

    def edition(self, app: Application) -> str:
        """The digest of what `app`, its project and argocd-cm (health checks, what is compared) ask for now:
        another one than `State.spec` was never looked at. Taken before a look, it cannot cover an edit that
        the look did not see."""
        ...

    def claim(self, app: Application, state: OperationState, remember: State | None = None) -> Claim:
        """Takes the operation `state` (phase Running): one write that succeeds only if `app` is unchanged.
        `remember` is what is remembered of the app from then on, where that is something else.

        When `state.operation` is the one that waits in `app.operation`, it is taken off there. Raises
        Conflict when `app` has changed since it was read: read, and decide again.
        """
        ...

    def holds(self, claim: Claim) -> bool:
        """Whether `claim` is still the newest one. False also when the app is gone, going, or another."""
        ...

    def report(
        self, app: Application, status: ApplicationStatus, state: State, claim: Claim | None = None
    ) -> Application:
        """Makes `status` and `state` those of the app; no request when that changes nothing.

        `reconciledAt` alone is no change, except once an hour. The claim's id in `state` is not looked at:
        only `claim` changes it. With a `claim`, raises Superseded when it is not held any more, and wins
        over every other writer. Without one, `operationState` stays as it is, and Superseded is raised
        when anybody has written the app's status or claimed an operation since `app` was read: what they
        know is newer.
        """
        ...

    def moved(self, app: Application, to: Pinned) -> Application | None:
        """Sets status.sync.revision (or revisions), and the state's commit, of an app that those of `to` do
        not touch.

        Nothing is written for an app that was never compared, nor when its status was written since it
        was read: then None.
        """
        ...

    def to_go(self, app: Application) -> bool:
        """Whether `app` is being deleted, and a finalizer asks for its objects to be deleted or hooks to be
        run, right now."""
        ...

    def bind(self, app: Application, finalizers: Collection[str]) -> Application:
        """`app` with these finalizers and no others. One that is a file stays as it is: nothing waits for
        its finalizers. Raises Conflict when it is not as it was read."""
        ...

    def unbind(self, app: Application, finalizers: Collection[str]) -> None:
        """Takes these finalizers off `app`, which is being deleted: with the last one it is gone. Raises
        Superseded when it is gone already, or another."""
        ...

    def clear_refresh(self, app: Application) -> Application:
        """Removes the wish for a refresh that `app` had when it was read; a newer wish stays."""
        ...

    def ask_operation(self, app: Application, operation: Operation) -> Application:
        """Wishes for `operation`. Raises Refused when another one waits already."""
        ...

    def ask_end(self, app: Application) -> Application:
        """Takes off an operation that waits, and wishes for the end of one that runs: phase Terminating.

        Raises Refused when there is neither.
        """
        ...

    def ask_refresh(self, app: Application, how: Literal["normal", "hard"]) -> Application:
        """Wishes for a refresh."""
        ...

    def event(self, app: Application, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Writes a Kubernetes Event about the app. Never raises: an event is a comfort."""
        ...

    def project_records(self) -> Kind | None:
        """The kind of the objects of Mooring's namespace that are AppProjects; None where those are files."""
        ...

    def forget_rules(self) -> None:
        """Has projects and argocd-cm read again when next asked for: somebody has seen newer ones."""
        ...

    def projects(self) -> Mapping[str, AppProject]:
        """The projects that can be read, by name; always with `default`. Up to a second old."""
        ...

    def project(self, name: str) -> AppProject:
        """The project. Raises Refused (InvalidSpecError) when it is missing or cannot be read."""
        ...

    def repo_secrets(self) -> tuple[RepoSecret, ...]:
        """Argo CD's `repository` and `repo-creds` Secrets of the home namespace. Up to a second old."""
        ...

    def clusters(self) -> tuple[ClusterSecret, ...]:
        """Argo CD's `cluster` Secrets of the home namespace. Up to a second old."""
        ...

    def newest_clusters(self) -> tuple[ClusterSecret, ...]:
        """As `clusters`, for who misses one: of a moment ago at most, and of no cache."""
        ...

    def home(self) -> ClusterRef:
        """The cluster that has the Applications, or that they are files for."""
        ...

    def known_hosts(self) -> str:
        """The keys of ssh hosts from ConfigMap argocd-ssh-known-hosts-cm. Up to ten seconds old."""
        ...

    def config(self) -> Mapping[str, str]:
        """The data of ConfigMap argocd-cm, empty where there is none. Up to ten seconds old."""
        ...

    def signing_keys(self) -> Keys:
        """The keys that commits may be signed with, from ConfigMaps argocd-gpg-keys-cm and
        mooring-ssh-signers-cm. Up to ten seconds old."""
        ...

    def tls_certificates(self) -> Mapping[str, str]:
        """PEM certificates by host from ConfigMap argocd-tls-certs-cm. Up to ten seconds old."""
        ...

"""What is the same wherever Applications live: claims, reports, and what guards them.

Every write names the version that was read. So two workers never both get an operation, and one that
wakes up late finds out instead of overwriting what is newer than it.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from mooring.errors import ClusterUnavailable, Conflict, Refused, Superseded
from mooring.keys import AppKey, ClusterRef
from mooring.model.application import Application
from mooring.model.finalizers import obeyed
from mooring.model.impersonation import SETTING as IMPERSONATION
from mooring.model.pinned import Pinned
from mooring.model.project import AppProject, default_project
from mooring.model.spec import Operation
from mooring.model.status import TERMINATING, ApplicationStatus, OperationState
from mooring.names import REFRESH, STATE
from workers import argocd_cm
from workers.apps import events
from workers.apps.fresh import Fresh
from workers.apps.patches import (
    REFRESHES,
    Patch,
    claim_patch,
    moved_patch,
    refresh_patch,
    state_of,
    state_patch,
    status_patch,
)
from workers.apps.projects import Projects
from workers.apps.repositories import (
    config,
    known_hosts,
    secrets,
    signing_keys,
    tls_certificates,
)
from workers.apps.state import State, spec_digest
from workers.apps.store import Claim, Listing
from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.clusters.secret import ClusterSecret
from workers.git.credentials import RepoSecret
from workers.health import checks
from workers.ignore import comparing
from workers.signatures.keys import Keys

_TRIES: Final = 5
_TRUST_AGE_S: Final = 10.0  # as old may be what people seldom change


class RecordedApplications(ABC):
    """The half of `store.Applications` that needs little from where the Applications live."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._fresh_listing = Fresh(self._lately)
        self._fresh_projects = Fresh(self._read_projects)
        self._fresh_secrets = Fresh(lambda cached: secrets(api, namespace, cached=cached))
        self._fresh_known_hosts = Fresh(lambda _: known_hosts(api, namespace), _TRUST_AGE_S)
        self._fresh_config = Fresh(lambda _: config(api, namespace), _TRUST_AGE_S)
        self._fresh_signing_keys = Fresh(lambda _: signing_keys(api, namespace), _TRUST_AGE_S)
        self._fresh_certificates = Fresh(lambda _: tls_certificates(api, namespace), _TRUST_AGE_S)

    @abstractmethod
    def list(self) -> Listing:
        """See `store.Applications`."""

    @abstractmethod
    def get(self, key: AppKey, *, since: str = "") -> Application | None:
        """See `store.Applications`."""

    def _lately(self, cached: bool) -> Listing:
        """As `list`; the answer may be slightly old where it may be `cached`."""
        return self.list()

    @abstractmethod
    def _record(self, key: AppKey) -> Live | None:
        """The metadata of the object that holds the app's status and claim; None when the app is gone."""

    @abstractmethod
    def _write(self, app: Application, patch: Patch) -> Application:
        """`app` after the merge patch; Conflict when it is not the version that was read any more."""

    @abstractmethod
    def _reference(self, app: Application) -> Mapping[str, str]:
        """The ObjectReference that Events about `app` carry."""

    @abstractmethod
    def _read_projects(self, cached: bool) -> Projects:
        """All AppProjects; the answer may be slightly old where it may be `cached`."""

    def recent(self) -> Listing:
        return self._fresh_listing.get()

    def known(self) -> Listing:
        return self.recent()

    def state(self, app: Application) -> State:
        return state_of(app)

    def edition(self, app: Application) -> str:
        projects, name = self._fresh_projects.get(), app.spec.project_name
        project = projects.good.get(name)
        asked: Any = project.spec.to_dict() if project else projects.broken.get(name, "")
        if project is not None and project.asks_signatures:  # a key that comes or goes is an edit, too
            asked = [asked, self.signing_keys().digest]
        said = self.config()
        if impersonation := said.get(IMPERSONATION):
            asked = [asked, impersonation]
        customized = argocd_cm.edition(checks.written(said) + comparing.written(said))
        return spec_digest(app, asked, customized)

    def claim(self, app: Application, state: OperationState, remember: State | None = None) -> Claim:
        id_ = uuid.uuid4().hex
        after = self._write(app, claim_patch(app, state, replace(remember or state_of(app), claim=id_)))
        return Claim(app.key, id_, after.metadata.uid, after, state)

    def holds(self, claim: Claim) -> bool:
        live = self._record(claim.key)
        return (
            live is not None
            and live.uid == claim.uid
            and live.deletion_timestamp is None
            and State.from_json(live.annotations.get(STATE)).claim == claim.id
        )

    def report(
        self, app: Application, status: ApplicationStatus, state: State, claim: Claim | None = None
    ) -> Application:
        uid, claim_id = (claim.uid, claim.id) if claim else (app.metadata.uid, state_of(app).claim)

        def patch(current: Application) -> Patch:
            new, there = status, current.status.operation_state
            if claim is None:
                new = status.model_copy(update={"operation_state": there})
            elif there is not None and there.phase == TERMINATING:
                new = status.model_copy(update={"operation_state": _still_to_end(status.operation_state)})
            return status_patch(current, new) | state_patch(current, replace(state, claim=claim_id))

        def still(current: Application) -> bool:
            mine = current.metadata.uid == uid and state_of(current).claim == claim_id
            return mine and (claim is not None or current.status == app.status)

        if not still(app):  # read before the claim was made, or by one who has lost it
            current = self.get(app.key)
            if current is None or not still(current):
                raise Superseded(f"application {app.key}: the claim is another's, or the app is gone")
            app = current
        return self._settle(app, patch, still)

    def moved(self, app: Application, to: Pinned) -> Application | None:
        def patch(current: Application) -> Patch:
            change = moved_patch(current, to)
            state = state_of(current)
            if change and state.inputs:
                change |= state_patch(current, replace(state, commit=" ".join(to.revisions)))
            return change

        def still(current: Application) -> bool:
            return current.metadata.uid == app.metadata.uid and current.status == app.status

        try:
            return self._settle(app, patch, still)
        except Superseded:
            return None  # whoever wrote the status knows better where the app is

    def to_go(self, app: Application) -> bool:
        live = self._record(app.key)
        return (
            live is not None
            and live.uid == app.metadata.uid
            and live.deletion_timestamp is not None
            and bool(obeyed(live.finalizers))
        )

    def bind(self, app: Application, finalizers: Collection[str]) -> Application:
        return self._write(app, {"metadata": {"finalizers": [*finalizers]}})

    def unbind(self, app: Application, finalizers: Collection[str]) -> None:
        def patch(current: Application) -> Patch:
            rest = [name for name in current.metadata.finalizers if name not in finalizers]
            return {} if len(rest) == len(current.metadata.finalizers) else {"metadata": {"finalizers": rest}}

        self._settle(app, patch, lambda current: current.metadata.uid == app.metadata.uid)

    def clear_refresh(self, app: Application) -> Application:
        wish = refresh_patch(app)

        def still(current: Application) -> bool:
            return current.metadata.uid == app.metadata.uid and _wishes(current) == _wishes(app)

        if not wish:
            return app
        try:
            return self._settle(app, refresh_patch, still)
        except Superseded:
            return self.get(app.key) or app

    def ask_operation(self, app: Application, operation: Operation) -> Application:
        def patch(current: Application) -> Patch:
            if current.operation is not None:
                raise Refused(
                    f"application {app.key.namespace}/{app.key.name}: another operation waits already: wait "
                    f"for its end, or withdraw it by `mooring app terminate-op {app.key.name}`"
                )
            return {"operation": operation.to_dict()}

        return self._settle(app, patch, lambda current: current.metadata.uid == app.metadata.uid)

    def ask_end(self, app: Application) -> Application:
        def patch(current: Application) -> Patch:
            state = current.status.operation_state
            wish: Patch = {}
            if current.operation is not None:
                wish["operation"] = None
            if state is not None and state.phase == "Running":
                wish["status"] = {"operationState": {"phase": TERMINATING}}
            if not wish:
                title = f"{app.key.namespace}/{app.key.name}"
                raise Refused(f"no operation of {title} waits or runs: there is nothing to end")
            return wish

        return self._settle(app, patch, lambda current: current.metadata.uid == app.metadata.uid)

    def ask_refresh(self, app: Application, how: Literal["normal", "hard"]) -> Application:
        def patch(current: Application) -> Patch:
            return {"metadata": {"annotations": {REFRESH: how}}}

        return self._settle(app, patch, lambda current: current.metadata.uid == app.metadata.uid)

    def event(self, app: Application, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        events.write(self._api, self._reference(app), type_, reason, message)

    def forget_rules(self) -> None:
        self._fresh_projects.forget()
        self._fresh_config.forget()

    def projects(self) -> Mapping[str, AppProject]:
        found = dict(self._fresh_projects.get().good)
        found.setdefault("default", default_project(self._namespace))
        return found

    def project(self, name: str) -> AppProject:
        projects = self._fresh_projects.get()
        if name != "default" and name not in projects.good and name not in projects.broken:
            projects = self._fresh_projects.newest()  # it may be as new as the Application that names it
        if name in projects.broken:
            raise Refused(projects.broken[name], condition="InvalidSpecError")
        if name in projects.good:
            return projects.good[name]
        if name == "default":
            return default_project(self._namespace)
        raise Refused(
            f"project {name} does not exist: create the AppProject, or correct spec.project",
            condition="InvalidSpecError",
        )

    def repo_secrets(self) -> tuple[RepoSecret, ...]:
        return self._fresh_secrets.get().repositories

    def clusters(self) -> tuple[ClusterSecret, ...]:
        return self._fresh_secrets.get().clusters

    def newest_clusters(self) -> tuple[ClusterSecret, ...]:
        return self._fresh_secrets.newest().clusters

    def home(self) -> ClusterRef:
        return self._api.cluster

    def known_hosts(self) -> str:
        return self._fresh_known_hosts.get()

    def config(self) -> Mapping[str, str]:
        return self._fresh_config.get()

    def signing_keys(self) -> Keys:
        return self._fresh_signing_keys.get()

    def tls_certificates(self) -> Mapping[str, str]:
        return self._fresh_certificates.get()

    def _settle(
        self, app: Application, patch: Callable[[Application], Patch], still: Callable[[Application], bool]
    ) -> Application:
        """Writes what `patch` makes of the app as it is, as long as `still` says that it may be written.

        Raises Superseded when it says no, or the app is gone.
        """
        for _ in range(_TRIES):
            change = patch(app)
            if not change:
                return app
            try:
                return self._write(app, change)
            except Conflict as error:
                current = self.get(app.key)
                if current is None:
                    raise Superseded(f"application {app.key} is gone") from error
                if not still(current):
                    raise Superseded(f"application {app.key} was written by somebody else") from error
                app = current
        raise ClusterUnavailable(f"application {app.key} keeps changing while its status is written")


def _still_to_end(state: OperationState | None) -> OperationState | None:
    """`state` of an operation that somebody asked to end meanwhile: it may end, but not go on."""
    if state is None or state.phase != "Running":
        return state
    return state.model_copy(update={"phase": TERMINATING})


def _wishes(app: Application) -> Patch:
    return {name: app.metadata.annotations.get(name) for name in REFRESHES}

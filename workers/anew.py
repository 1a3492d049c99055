"""Deletes an object and creates it anew, where a sync option asks for that: the sync option Force.

https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#force-sync

Nothing is deleted on doubt. It must be this app's own, as for a prune; what replaces it has been accepted by
the server before, under another name; and what then cannot be created is followed by what was there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mooring.errors import ClusterRefused, ClusterUnavailable, Conflict, MooringError, Refused
from mooring.keys import ObjectKey
from mooring.model.annotations import annotations_of
from mooring.model.sync_options import Consent, SyncOptions, sync_options
from workers.applyset.inventory import Entry
from workers.cluster.api import Api, Validation
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.desired import Desired
from workers.ownership import precious, tracked_by_argo, why_not_ours
from workers.plan import Step, Viewpoint

_GONE_S = 5.0  # how long to wait for an object that is being deleted; then the next try sees to it
_INVALID = 422
# Rules of the cluster's owners, not properties of the kind: to delete and create is no way round them.
_POLICIES = ("ValidatingAdmissionPolicy", "admission webhook")
# All that is in one of these goes with it.
_NEVER = (("", "Namespace"), ("apiextensions.k8s.io", "CustomResourceDefinition"))


def why_not(step: Step, view: Viewpoint) -> str:
    """Why the object of `step` must not be deleted to be created anew; "" when it may."""
    item, live = step.desired, step.live
    assert item is not None
    assert live is not None
    if (item.key.group, item.key.kind) in _NEVER:
        return f"all that is in a {item.key.kind} would go with it"
    theirs = sync_options((), live.annotations)
    for options in (item.options, theirs):
        for name, consent in (("Prune", options.prune), ("Delete", options.delete)):
            if consent is not Consent.YES:
                return f"its sync option {name}={consent} keeps it"
    if precious(item.key) and not sync_options((), annotations_of(item.body)).force:
        return f"a {item.key.kind} holds data: only Force=true among its own sync options deletes it"
    if tracked_by_argo(live, view.app.name) and not live.controller_owner:
        return ""
    return why_not_ours(live, view.app, view.installation, view.applyset, Entry("created", step.writer))


def only_as_new(error: ClusterRefused, item: Desired, api: Api) -> bool:
    """Whether the server refuses `item` merely as a change of what is there: as a new object it would do.

    That is what "immutable" is, whichever words a kind has for it. Raises ClusterUnavailable.
    """
    if error.code != _INVALID or any(word in str(error) for word in _POLICIES):
        return False
    if (item.key.group, item.key.kind) in _NEVER:
        return False  # their names mean something
    try:
        tried_as_new(item, api)
    except (Refused, Conflict):
        return False
    return True


class Manifested(Protocol):
    """What is to be written as its manifest has it: Desired, and hooks."""

    @property
    def key(self) -> ObjectKey: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def body(self) -> Mapping[str, Any]: ...
    @property
    def options(self) -> SyncOptions: ...


def tried_as_new(item: Manifested, api: Api) -> None:
    """Have the server judge `item` as an object of another name. Raises what it says."""
    metadata = {key: value for key, value in item.body["metadata"].items() if key != "name"}
    metadata["generateName"] = f"{item.key.name[:40].rstrip('-.')}-"
    body = {**item.body, "metadata": metadata}
    if (item.key.group, item.key.kind) == ("", "Service"):
        body["spec"] = _unallocated(body.get("spec"))
    # What the schema refuses of an apply is merged, and only warned about.
    merged = item.options.server_side_apply is None and item.options.validate
    api.create(item.kind, body, dry_run=True, validation="Warn" if merged else validation(item))


def validation(item: Manifested) -> Validation:
    """https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#disable-kubectl-validation"""
    return "Strict" if item.options.validate else "Ignore"


def _unallocated(spec: Any) -> Any:
    """A Service's spec without the addresses and ports that the one which is there has taken."""
    if not isinstance(spec, Mapping):
        return spec
    taken = ("clusterIP", "clusterIPs", "healthCheckNodePort")
    left = {key: value for key, value in spec.items() if key not in taken or value == "None"}
    if left.get("clusterIP") == "None":
        left["clusterIPs"] = ["None"]
    if isinstance(ports := spec.get("ports"), list):
        left["ports"] = [
            {key: value for key, value in port.items() if key != "nodePort"}
            if isinstance(port, Mapping)
            else port
            for port in ports
        ]
    return left


def recreate(step: Step, api: Api, holds: Callable[[], bool], create: Callable[[Desired], Live]) -> Live:
    """Delete the object of `step` as it was planned, and `create` it once it is gone; the new one.

    `holds()` says whether the operation is still ours. Raises Conflict when the object has changed, or the
    operation is lost; ClusterUnavailable while the object is still there; what `create` raises, after having
    put back what was there.
    """
    item, live = step.desired, step.live
    assert item is not None
    assert live is not None
    tried_as_new(item, api)
    before = api.get(item.kind, item.key.namespace, item.key.name)
    if before is None or (before.uid, before.resource_version) != (live.uid, live.resource_version):
        raise Conflict(f"{item.key.title} has changed")
    if not holds():
        raise Conflict("the operation is not ours any more")
    api.delete(item.kind, live, item.options.prune_propagation_policy)
    _await_gone(item, live, api)
    try:
        return create(item)
    except ClusterRefused:
        _put_back(item, before, api)
        raise


def _await_gone(item: Desired, live: Live, api: Api) -> None:
    deadline, pause = time.monotonic() + _GONE_S, 0.02
    while True:
        now = api.get(item.kind, item.key.namespace, item.key.name, metadata_only=True)
        if now is None or now.uid != live.uid:
            return
        if time.monotonic() > deadline:
            raise ClusterUnavailable("is being deleted; it is created anew once it is gone")
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


def _put_back(item: Desired, before: Live, api: Api) -> None:
    body = {key: value for key, value in (before.body or {}).items() if key != "status"}
    with contextlib.suppress(MooringError):  # what kept it from being made anew is what is told
        api.create(item.kind, body)

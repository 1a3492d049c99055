"""The verbs: what one identity asks of one cluster, each write guarded so that only what was planned changes.

The guards (DESIGN, mechanism 2) are the API server's own: it compares uid and resourceVersion in the
transaction that writes, so a worker that wakes up late gets a Conflict instead of its way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from mooring.errors import ClusterRefused, ClusterUnavailable, Conflict, MooringError, Refused
from mooring.keys import ClusterRef
from mooring.model.sync_options import Propagation
from mooring.names import FIELD_MANAGER
from workers.cluster.identity import MOORING, Identity
from workers.cluster.kinds import Discovery, Kind
from workers.cluster.live import Live
from workers.cluster.merge import three_way
from workers.cluster.rights import not_permitted
from workers.cluster.transport import JSON, Expired, NotFound, Response, Transport

APPLY_PATCH: Final = "application/apply-patch+yaml"  # JSON is YAML
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
NAMESPACE: Final = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
PAGE: Final = 500  # objects
LIST_TRIES: Final = 3
# Answered with 429 to lists of a kind until the server has it in its cache: for a while after its definition
# has come or changed, or the server was started.
_FILLS_CACHE: Final = "storage is (re)initializing"
_ONE_LABEL: Final = re.compile(r"([\w./-]+)(?:=([\w.-]*))?")  # a selector: there, or there with this value

# https://kubernetes.io/docs/reference/using-api/api-concepts/#validation-for-unrecognized-or-duplicate-fields
Validation = Literal["Strict", "Warn", "Ignore"]

# Fields of metadata that only the server sets; manifests exported from a cluster still carry them.
SERVER_SIDE: Final = frozenset(
    (
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    )
)


@dataclass(frozen=True, slots=True)
class Create:
    """The object was absent when planned: 409 when it is there by now."""


@dataclass(frozen=True, slots=True)
class Update:
    """The object was planned as this version of it: 409 when it changed, was deleted or created anew."""

    uid: str
    resource_version: str


Guard = Create | Update
Pages = list[Iterable[Any]]
Items = list[dict[str, Any]]  # inside the class, `list` is the verb


@dataclass(frozen=True, slots=True)
class Api:
    """One identity's view of one cluster. Safe for threads.

    Every verb may raise ClusterUnavailable (try later) and ClusterRefused (the user's to fix); guarded
    writes raise Conflict when the object is not as planned. `dry_run` asks for everything but the write.

    Whatever writes, or only tries to, and logs are asked for in the name of `actor`, if there is one: what it
    may not do is NotPermitted. All other reads are `identity`'s.

    `namespaces`, where there are any, are all that there are to it: nobody gave it more to see.
    """

    cluster: ClusterRef
    transport: Transport
    discovery: Discovery
    identity: Identity
    actor: Identity = MOORING
    namespaces: tuple[str, ...] = ()

    def acting_as(self, actor: Identity) -> Api:
        """The same cluster, by the same connections, where only `actor` writes. Raises Refused where the
        kubeconfig has Mooring act as somebody already: whom that may act as nobody would ask."""
        if self.identity.user and actor.user:
            raise Refused(
                f"the kubeconfig has Mooring act as {self.identity.user}, who cannot act as {actor.user} in "
                "turn: give it a user of its own"
            )
        return replace(self, actor=actor)

    def get(
        self, kind: Kind, namespace: str, name: str, metadata_only: bool = False, *, since: str = ""
    ) -> Live | None:
        """The object, or None when the server says that this very object does not exist.

        `since`: as the server has it in its cache, once that has come to this version, with "0" at once; so
        it need not ask its store.
        """
        try:
            answer = self._request(
                "GET",
                kind,
                kind.path(namespace, name),
                query=[("resourceVersion", since)] if since else (),
                accept=METADATA if metadata_only else JSON,
            )
        except NotFound as error:
            if error.missing == (kind.plural, name):
                return None
            raise
        return Live.read(kind, answer.json(), metadata_only=metadata_only)

    def list(
        self,
        kind: Kind,
        namespace: str = "",
        label_selector: str = "",
        metadata_only: bool = False,
        *,
        page: int = PAGE,
        cached: bool = False,
    ) -> tuple[Live, ...]:
        """All objects of the kind, in one namespace or (empty) in all, fetched in pages.

        Never a part of them: a list that expires between two pages is begun anew, and after
        LIST_TRIES times raises ClusterUnavailable.

        `cached`: as the server has them in its cache, a few milliseconds old as a rule. Otherwise it waits
        until the cache is certainly up to date, which takes 50 ms on average and up to 100 wherever other
        things are written meanwhile.
        https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list
        """
        every = self.namespaces if kind.namespaced and not namespace else ()
        return tuple(
            live
            for where in every or (namespace,)
            for live in self.snapshot(kind, where, label_selector, metadata_only, page=page, cached=cached)[0]
        )

    def each(self, kind: Kind, namespace: str, *, cached: bool = False) -> Iterator[Live]:
        """As `list`, one after the other, for who keeps none of them: each is read when its turn comes. All
        have been fetched before the first. `kind` is one of a CustomResourceDefinition."""
        begins = f'{{"apiVersion":"{kind.api_version}","kind":"{kind.kind}",'.encode()
        for _ in range(LIST_TRIES):
            pages = self._pages(kind, namespace, "", False, PAGE, cached, lambda answer: answer.apart(begins))
            if pages is not None:
                return (Live.read(kind, item) for items in pages[0] for item in items)
        raise _expired(kind)

    def snapshot(
        self,
        kind: Kind,
        namespace: str = "",
        label_selector: str = "",
        metadata_only: bool = False,
        *,
        page: int = PAGE,
        cached: bool = False,
    ) -> tuple[tuple[Live, ...], str]:
        """As `list`, with the version of the whole list: what changes after it is what a watch tells."""

        def pages(selector: str) -> tuple[Pages, str] | None:
            return self._pages(kind, namespace, selector, metadata_only, page, cached, _read)

        for _ in range(LIST_TRIES):
            try:
                found = pages(label_selector)
            except ClusterUnavailable as error:
                chosen = _ONE_LABEL.fullmatch(label_selector)
                if not chosen or _FILLS_CACHE not in str(error):
                    raise
                # Without a selector the server reads past its cache: https://kep.k8s.io/4568
                if (found := pages("")) is not None:
                    found = [_labelled(items, *chosen.groups()) for items in found[0]], found[1]
            if found is not None:
                lives = (
                    Live.read(kind, item, metadata_only=metadata_only) for items in found[0] for item in items
                )
                return tuple(lives), found[1]
        raise _expired(kind)

    def _pages(
        self,
        kind: Kind,
        namespace: str,
        label_selector: str,
        metadata_only: bool,
        page: int,
        cached: bool,
        read: Callable[[Response], tuple[Any, Iterable[Any]]],
    ) -> tuple[Pages, str] | None:
        """The items of each page, as `read` reads it, and their version, or None when the server forgot the
        list half-way (HTTP 410)."""
        items: Pages = []
        token = ""
        while True:
            query = [("limit", str(page))]
            if cached and not token:
                query.append(("resourceVersion", "0"))
            if label_selector:
                query.append(("labelSelector", label_selector))
            if token:
                query.append(("continue", token))
            try:
                answer = self._request(
                    "GET",
                    kind,
                    kind.path(namespace),
                    query=query,
                    accept=METADATA_LIST if metadata_only else JSON,
                )
            except Expired:
                return None
            whole, found = read(answer)
            about = _about(kind, whole)
            items.append(found)
            token = about.get("continue", "")
            if not token:
                return items, str(about.get("resourceVersion", ""))

    def apply(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        *,
        guard: Guard,
        dry_run: bool = False,
        force: bool = True,
        metadata_only: bool = False,
    ) -> Live:
        """Server-side apply of the whole manifest as field manager `mooring`; the object as it is then.

        Raises Conflict also when `force` is false and another manager owns a field, SchemaRefused when
        the schema cannot take the manifest: see `merge_apply`. Unknown fields are such, whatever validation
        is asked for: of an apply that says only whether the body is parsed once more, for fields that it has
        twice, and what we send has none.
        """
        if isinstance(guard, Update):
            guarded = {"uid": guard.uid, "resourceVersion": guard.resource_version}
        else:
            # Version 1 is etcd's first, which no object has: it creates, and conflicts with whatever exists.
            guarded = {"resourceVersion": "1"}
        sent = _sendable(kind, body, guarded)
        query = [*_query(dry_run, "Ignore"), ("force", "true" if force else "false")]
        return self._write(
            "PATCH", kind, sent, query=query, content_type=APPLY_PATCH, metadata_only=metadata_only
        )

    def merge_apply(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        live: Live | None,
        *,
        last_applied: Mapping[str, Any] | None = None,
        dry_run: bool = False,
        validation: Validation = "Strict",
    ) -> Live:
        """Client-side apply, where server-side apply is not wanted or its schema refuses the manifest.

        `live` must have its body; None creates. `last_applied` is the manifest applied before: by
        default the one in the live object's annotation. See `merge.three_way` for what is merged, and
        for its limits. Field manager `mooring` then owns fields by Update, not by Apply.
        """
        wanted = _sendable(kind, body, {})
        patch = three_way(wanted, live, last_applied)
        if live is None:
            return self.create(kind, patch, dry_run=dry_run, validation=validation)
        guarded = {"uid": live.uid, "resourceVersion": live.resource_version}
        patch["metadata"] = patch.get("metadata", {}) | guarded
        return self.patch(
            kind,
            live.key.namespace,
            live.key.name,
            patch,
            MERGE_PATCH,
            dry_run=dry_run,
            validation=validation,
        )

    def replace(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        guard: Guard,
        *,
        dry_run: bool = False,
        validation: Validation = "Strict",
    ) -> Live:
        """The whole object becomes the manifest: fields of other managers are lost."""
        if isinstance(guard, Create):
            return self.create(kind, body, dry_run=dry_run, validation=validation)
        sent = _sendable(kind, body, {"uid": guard.uid, "resourceVersion": guard.resource_version})
        return self._write("PUT", kind, sent, query=_query(dry_run, validation))

    def create(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        *,
        dry_run: bool = False,
        validation: Validation = "Strict",
        manager: str = FIELD_MANAGER,
    ) -> Live:
        """Creates `metadata.name`, or a name made from `generateName`. Conflict when it exists."""
        sent = _sendable(kind, body, {})
        path = kind.path(sent["metadata"].get("namespace", ""))
        name = sent["metadata"].get("name") or sent["metadata"].get("generateName", "")
        try:
            query = _query(dry_run, validation, manager)
            answer = self._request("POST", kind, path, query=query, body=sent)
        except NotFound as error:
            raise _gone(error, kind, name) from error
        return Live.read(kind, answer.json())

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: dict[str, Any] | Items,
        content_type: str = MERGE_PATCH,
        *,
        dry_run: bool = False,
        validation: Validation = "Strict",
        subresource: str = "",
        manager: str = FIELD_MANAGER,
    ) -> Live:
        """A JSON merge patch or (with JSON_PATCH) a JSON patch, guarded by what it says itself.

        Conflict when the object is gone: whoever patches has seen it.
        """
        path = kind.path(namespace, name)
        try:
            answer = self._request(
                "PATCH",
                kind,
                f"{path}/{subresource}" if subresource else path,
                query=_query(dry_run, validation, manager),
                body=patch,
                content_type=content_type,
            )
        except NotFound as error:
            raise _gone(error, kind, name) from error
        return Live.read(kind, answer.json())

    def delete(
        self,
        kind: Kind,
        live: Live,
        propagation: Propagation = "foreground",
        *,
        any_version: bool = False,
        dry_run: bool = False,
    ) -> None:
        """Deletes this very version of this very object. Fine when it is gone, Conflict when it changed.

        With `any_version` the uid alone decides: what was just created can be taken back although its
        controller has written to it since. The object may live on for its finalizers: whoever must
        know reads it again.
        """
        preconditions = {"uid": live.uid}
        if not any_version:
            preconditions["resourceVersion"] = live.resource_version
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation.capitalize(),
            "preconditions": preconditions,
        } | ({"dryRun": ["All"]} if dry_run else {})
        try:
            self._request("DELETE", kind, kind.path(live.key.namespace, live.key.name), body=options)
        except NotFound as error:
            if error.missing != (kind.plural, live.key.name):
                raise

    @contextmanager
    def log(self, namespace: str, pod: str, query: Iterable[tuple[str, str]]) -> Iterator[Iterator[bytes]]:
        """What a container of the pod says, as it comes, for `actor` if there is one. Raises
        ClusterUnavailable also while it is read."""
        path, acts = f"/api/v1/namespaces/{namespace}/pods/{pod}/log", bool(self.actor.user)
        try:
            stream = self.transport.stream(path, identity=self.actor if acts else self.identity, query=query)
            with stream as chunks:
                yield chunks
        except ClusterRefused as error:
            if acts and (denied := not_permitted(error, self.actor.user)):
                raise denied from error
            raise

    def ensure_namespace(self, name: str, *, absent: bool = False) -> bool:
        """Creates the namespace when it is missing, without any mark of ours; True when it was created.

        `absent`: it was just seen not to be there.

        Raises ClusterUnavailable while a namespace of that name is being deleted.
        """
        kind = NAMESPACE
        live = None if absent else self.get(kind, "", name, metadata_only=True)
        if live is None:
            try:
                self.create(kind, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            except Conflict:  # somebody else just did
                return False
            return True
        if live.deletion_timestamp:
            raise ClusterUnavailable(
                f"namespace {name} is being deleted: it is created anew when gone", after=5
            )
        return False

    def _write(
        self,
        method: str,
        kind: Kind,
        sent: dict[str, Any],
        *,
        query: Iterable[tuple[str, str]],
        content_type: str = JSON,
        metadata_only: bool = False,
    ) -> Live:
        metadata = sent["metadata"]
        try:
            answer = self._request(
                method,
                kind,
                kind.path(metadata.get("namespace", ""), metadata["name"]),
                query=query,
                body=sent,
                content_type=content_type,
                accept=METADATA if metadata_only else JSON,
            )
        except NotFound as error:
            raise _gone(error, kind, metadata["name"]) from error
        return Live.read(kind, answer.json(), metadata_only=metadata_only)

    def _request(
        self,
        method: str,
        kind: Kind,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Response:
        acts = method != "GET" and bool(self.actor.user)
        try:
            return self.transport.request(
                method,
                path,
                query=query,
                body=body,
                content_type=content_type,
                accept=accept,
                identity=self.actor if acts else self.identity,
            )
        except NotFound as error:
            if error.missing == ("", ""):  # the kind itself is not served, or no longer
                self.discovery.invalidate()
                raise ClusterUnavailable(f"{kind.api_version} {kind.kind} is not served: {error}") from error
            raise
        except ClusterRefused as error:
            if acts and (denied := not_permitted(error, self.actor.user)):
                raise denied from error
            raise


def _sendable(kind: Kind, body: Mapping[str, Any], guarded: dict[str, str]) -> dict[str, Any]:
    """The manifest with the guard in, and without what only the server may set; `body` stays as it is."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in SERVER_SIDE}
    if not kind.namespaced:
        metadata.pop("namespace", None)
    elif not metadata.get("namespace"):
        raise ClusterRefused(
            f"{kind.kind} {metadata.get('name', '')} needs a namespace: give it metadata.namespace"
        )
    return {**body, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata | guarded}


def _read(answer: Response) -> tuple[Any, Iterable[Any]]:
    whole = answer.json()
    return whole, (whole.get("items") if isinstance(whole, dict) else None) or ()


def _about(kind: Kind, answer: Any) -> dict[str, Any]:
    """The metadata of a list. Raises ClusterUnavailable for what is none: JSON without items or metadata, as
    a gateway in between may answer with 200, must not look like objects that are gone."""
    try:
        about = answer["metadata"]
        # Items are null from servers that have none.
        lists = answer["kind"].endswith("List") and isinstance(answer["items"] or [], list)
        if lists and isinstance(about, dict):
            return about
    except (AttributeError, KeyError, TypeError):
        pass
    raise ClusterUnavailable(
        f"the API server answers no list of {kind.plural}: is a proxy in between?", after=5
    )


def _expired(kind: Kind) -> ClusterUnavailable:
    return ClusterUnavailable(
        f"the list of {kind.plural} expired {LIST_TRIES} times while it was read", after=5
    )


def _labelled(items: Iterable[Any], name: str, value: str | None) -> Items:
    """Those of `items` that have the label, with this value if one is given."""
    labels = ((item, (item.get("metadata") or {}).get("labels") or {}) for item in items)
    return [item for item, has in labels if name in has and value in (None, has[name])]


def _query(dry_run: bool, validation: Validation, manager: str = FIELD_MANAGER) -> list[tuple[str, str]]:
    query = [("fieldManager", manager), ("fieldValidation", validation)]
    return [*query, ("dryRun", "All")] if dry_run else query


def _gone(error: NotFound, kind: Kind, name: str) -> MooringError:
    """What a 404 means to a write: the planned object is gone, or its namespace is not there."""
    if error.missing == (kind.plural, name):
        return Conflict(f"{kind.kind} {name} was deleted meanwhile")
    if error.missing[0] == "namespaces":
        return NotFound(
            f"{kind.kind} {name}: namespace {error.missing[1]} does not exist: create it, "
            "or set the sync option CreateNamespace=true",
            error.missing,
        )
    return error

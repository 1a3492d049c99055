"""A manifest: one Kubernetes object as somebody wrote it down, checked, and where it was written.

Pure. What makes an object impossible for any API server is refused here, while file and line are known.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from mooring.errors import RenderFailed
from mooring.keys import ObjectKey
from mooring.model.annotations import annotations_of
from mooring.model.hooks import hook_of
from mooring.names import ARGO, ARGO_GROUP, OURS, REFRESH, STATE
from workers.render.yaml_reader import Document

MAX_OBJECTS: Final = 20_000  # of one app; the API server is asked about each

_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_API_VERSION: Final = re.compile(rf"(?:(?P<group>{_LABEL}(?:\.{_LABEL})*)/)?{_LABEL}\Z")
_KIND: Final = re.compile(r"[A-Za-z][-A-Za-z0-9]{0,62}\Z")
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#path-segment-names
_NAME: Final = re.compile(r"(?!\.{1,2}\Z)[!-$&-.0-~]{1,253}\Z")
_NAMESPACE: Final = re.compile(rf"{_LABEL}\Z")
_OURS_TO_WRITE: Final = frozenset((STATE, REFRESH, REFRESH.replace(ARGO, OURS)))
_OF_THE_SERVER: Final = (
    "creationTimestamp",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a render. `key.namespace` and the body's are as written, until `with_namespace`; of a
    hook with generateName instead of a name, `key.name` is that.

    The body is shared: copy before changing it.
    """

    key: ObjectKey
    api_version: str
    body: dict[str, Any]
    path: str  # of its file, from the root of the repository
    line: int  # counted from 1

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def digest(self) -> str:
        """SHA-256 of the body as JSON with sorted keys, in hexadecimal."""
        return hashlib.sha256(orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def manifests_of(documents: Iterable[Document], path: str) -> tuple[list[Manifest], list[str]]:
    """The objects of a file's documents, lists taken apart, normalised; and warnings.

    Raises RenderFailed, naming file, line and field, for what can be no object.
    """
    manifests: list[Manifest] = []
    warnings: list[str] = []
    for document in documents:
        where = f"{path}:{document.line}"
        for body, item in _flattened(document.body, "", where):
            key, api_version = _identity(body, item, where)
            _check_texts(body, item, where)
            if dropped := _written_by_the_server(body):
                warnings.append(f"{where}: {key.title}: left out metadata.{', metadata.'.join(dropped)}")
            if len(manifests) == MAX_OBJECTS:
                raise RenderFailed(f"there are more than {MAX_OBJECTS} objects: split this app", where=where)
            manifests.append(Manifest(key, api_version, normalise(body), path, document.line))
    return manifests, warnings


def normalise(body: dict[str, Any]) -> dict[str, Any]:
    """The body without what is not anybody's to want, so that it can be compared with the cluster.

    A Secret's `stringData` becomes `data`, where it wins; `status`, the rules of a ClusterRole that is
    aggregated from others, and the metadata that only the server writes are left out; of an Application
    also the wish for an operation or a refresh, and what we remember on it.
    """
    wanted = {name: value for name, value in body.items() if name != "status"}
    metadata = wanted.get("metadata")
    if isinstance(metadata, dict):
        wanted["metadata"] = {name: value for name, value in metadata.items() if name not in _OF_THE_SERVER}
    if _is_secret(body) and "stringData" in body:
        texts = wanted.pop("stringData") or {}
        data = dict(wanted.get("data") or {})
        data.update({name: base64.b64encode((text or "").encode()).decode() for name, text in texts.items()})
        if data:
            wanted["data"] = data
    if _is(body, ARGO_GROUP, "Application"):
        _drop_wishes(wanted)
    if _is(body, "rbac.authorization.k8s.io", "ClusterRole") and body.get("aggregationRule"):
        wanted.pop("rules", None)
    return wanted


def _drop_wishes(application: dict[str, Any]) -> None:
    # Exported from a cluster, an Application carries what others write there all the time: applied again
    # and again, it would start syncs, end them for others, and never be in sync itself.
    application.pop("operation", None)
    metadata = application.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if (
        isinstance(metadata, dict)
        and isinstance(annotations, dict)
        and not _OURS_TO_WRITE.isdisjoint(annotations)
    ):
        kept = {name: text for name, text in annotations.items() if name not in _OURS_TO_WRITE}
        application["metadata"] = {**metadata, "annotations": kept}


def with_namespace(manifest: Manifest, namespaced: bool, default_namespace: str) -> Manifest:
    """The manifest where it will live: a namespaced one without namespace gets the default one.

    A cluster-scoped one loses whatever namespace is written in it.
    """
    namespace = (manifest.key.namespace or default_namespace) if namespaced else ""
    metadata = manifest.body["metadata"]
    if namespace == manifest.key.namespace and metadata.get("namespace", "") == namespace:
        return manifest
    metadata = {name: value for name, value in metadata.items() if name != "namespace"}
    if namespace:
        metadata["namespace"] = namespace
    key = replace(manifest.key, namespace=namespace)
    return replace(manifest, key=key, body={**manifest.body, "metadata": metadata})


def _flattened(body: dict[str, Any], item: str, where: str) -> Iterator[tuple[dict[str, Any], str]]:
    # A *List takes itself apart, as kubectl does: items without kind and apiVersion are of the list's.
    kind, items = body.get("kind"), body.get("items")
    is_list = isinstance(kind, str) and kind.endswith("List") and "items" in body
    if not is_list or not (items is None or isinstance(items, list)) or body.get("spec"):
        yield body, item
        return
    for index, child in enumerate(items or ()):
        name = f"{item}items[{index}]"
        if not isinstance(child, dict):
            raise RenderFailed(f"{name} of a {kind} must be an object", where=where)
        if not child.get("kind") and not child.get("apiVersion") and kind != "List":
            child = {**child, "apiVersion": body.get("apiVersion"), "kind": str(kind).removesuffix("List")}
        yield from _flattened(child, f"{name}.", where)


def _identity(body: dict[str, Any], item: str, where: str) -> tuple[ObjectKey, str]:
    def text(holder: dict[str, Any], name: str, path: str, form: re.Pattern[str]) -> str:
        value = holder.get(name)
        if value is None or value == "":
            raise RenderFailed(f"{item}{path} is missing", where=where)
        if not isinstance(value, str):
            raise RenderFailed(f"{item}{path} must be a string: quote it", where=where)
        if not form.match(value):
            raise RenderFailed(f"{item}{path} is not valid: {value[:80]!r}", where=where)
        return value

    api_version = text(body, "apiVersion", "apiVersion", _API_VERSION)
    kind = text(body, "kind", "kind", _KIND)
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        problem = "is missing" if metadata is None else "must be a mapping"
        raise RenderFailed(f"{item}metadata of this {kind} {problem}", where=where)
    named = "name" if metadata.get("name") or not metadata.get("generateName") else "generateName"
    name = text(metadata, named, f"metadata.{named}", _NAME)
    if named == "generateName" and hook_of(annotations_of(body)) is None:
        raise RenderFailed(
            f"{item}metadata.generateName of this {kind}: only hooks can have it; give it a metadata.name",
            where=where,
        )
    namespace = ""
    if metadata.get("namespace"):
        namespace = text(metadata, "namespace", "metadata.namespace", _NAMESPACE)
    group = api_version.rpartition("/")[0]
    return ObjectKey(group, kind, namespace, name), api_version


def _check_texts(body: dict[str, Any], item: str, where: str) -> None:
    # An unquoted `yes` or `1` among labels or annotations: it must not be overlooked as one that restricts.
    metadata = body["metadata"]
    maps = [
        ("metadata.labels", metadata.get("labels")),
        ("metadata.annotations", metadata.get("annotations")),
    ]
    if _is_secret(body):
        maps += [("data", body.get("data")), ("stringData", body.get("stringData"))]
    for path, texts in maps:
        if texts is None:
            continue
        if not isinstance(texts, dict):
            raise RenderFailed(f"{item}{path} must be a mapping", where=where)
        for name, value in texts.items():
            if value is not None and not isinstance(value, str):
                raise RenderFailed(f"{item}{path}: {name[:80]!r} must be a string: quote it", where=where)


def _written_by_the_server(body: dict[str, Any]) -> list[str]:
    # `creationTimestamp: null` is in whatever `kubectl create --dry-run` prints: not worth a word.
    return [name for name in _OF_THE_SERVER if body["metadata"].get(name) is not None]


def _is_secret(body: dict[str, Any]) -> bool:
    return body.get("kind") == "Secret" and body.get("apiVersion") == "v1"


def _is(body: dict[str, Any], group: str, kind: str) -> bool:
    return body.get("kind") == kind and str(body.get("apiVersion")).rpartition("/")[0] == group

"""Foreign fields: what others, not Git, have set on an object that is ours. Pure.

Told by managedFields: whatever a manager other than ours owns, and we do not. The names of managers are what
they call themselves. Left out is what nobody means by that: status and what is written through any other
subresource (a scaled Deployment), metadata but for labels and annotations, marks of whose an object is, and
what Kubernetes itself and its controllers write into objects of all people.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mooring.names import ACTION_MANAGER, ARGO, FIELD_MANAGER, LAST_APPLIED, OURS
from mooring.text import printable
from workers.cluster.live import Live
from workers.desired import Desired
from workers.ignore.aggregated import is_aggregated
from workers.ignore.paths import Fields, Paths, children, named, put, without

Place = tuple[str | int, ...]  # keys and indexes, from the object down
FREED: Final = "freed of "  # how the outcome of a write begins that has taken such fields off

# Annotations that controllers of Kubernetes keep for themselves, by their domain.
_CONTROLLERS: Final = frozenset(
    (
        "autoscaling.alpha.kubernetes.io",
        "batch.kubernetes.io",
        "control-plane.alpha.kubernetes.io",
        "deployment.kubernetes.io",
        "endpoints.kubernetes.io",
        "node.kubernetes.io",
        "pv.kubernetes.io",
        "volume.beta.kubernetes.io",
        "volume.kubernetes.io",
    )
)
_MARKS: Final = frozenset((OURS, ARGO, "applyset.kubernetes.io"))
_NAMES: Final = frozenset((LAST_APPLIED, "kubernetes.io/metadata.name"))
# By kind, what its controllers fill in.
_FILLED_IN: Final[Mapping[tuple[str, str], frozenset[Place]]] = {
    ("argoproj.io", "Application"): frozenset({("operation",)}),  # asked for by whoever syncs it
    ("", "Namespace"): frozenset({("spec", "finalizers")}),
    ("", "PersistentVolume"): frozenset({("spec", "claimRef")}),
    ("", "PersistentVolumeClaim"): frozenset({("spec", "volumeName")}),
    ("", "Pod"): frozenset({("spec", "nodeName")}),
    ("", "ServiceAccount"): frozenset({("secrets",), ("imagePullSecrets",)}),
}
_BUNDLE: Final = "caBundle"  # of webhooks, definitions and API services: injected


@dataclass(frozen=True, slots=True)
class Foreign:
    """One field, or an item of a list with all that is in it. `time` is when its manager last wrote any of
    its fields, as the server gives it."""

    place: Place
    field: str  # as people may read it, without any value
    manager: str
    operation: str
    time: str

    def __str__(self) -> str:
        return f"{self.field}, set by {self.manager}"


def foreign(live: Live) -> tuple[Foreign, ...]:
    """The foreign fields of `live`, which has its body, in the order of its managedFields."""
    if live.body is None:
        return ()
    theirs = [entry for entry in live.managed_fields if not _is_kept(entry)]
    kept = [entry.get("fieldsV1") or {} for entry in live.managed_fields if _is_kept(entry)]
    found: dict[Place, Foreign] = {}
    for entry in theirs:
        manager, operation, time = (str(entry.get(name, "")) for name in ("manager", "operation", "time"))
        for place, field in _places(entry.get("fieldsV1") or {}, kept, live.body):
            if not _is_usual(place, live):
                one = Foreign(place, printable(field), printable(manager), operation, time)
                found.setdefault(place, one)
    return tuple(found.values())


def drift(item: Desired, live: Live) -> tuple[Foreign, ...]:
    """Those that a sync has to take off, since `item` says that they are drift: not what is ignored, nor what
    somebody had Mooring set by an action."""
    if not item.foreign_is_drift:
        return ()
    found = tuple(one for one in foreign(live) if one.manager != ACTION_MANAGER)
    if not found or item.ignored is None or live.body is None:
        return found
    ignored = item.ignored.paths(live.body, live)
    return tuple(one for one in found if not _meets(ignored, one.place))


def freed(body: dict[str, Any], fields: Sequence[Foreign]) -> dict[str, Any]:
    """`body` without these fields."""
    paths: Paths = {}
    for one in fields:
        put(paths, body, one.place)
    left = without(body, paths)
    assert isinstance(left, dict)
    return left


def patch(live: Live, fields: Sequence[Foreign]) -> list[dict[str, Any]]:
    """The JSON patch that takes them off this very version of the object."""
    # From the end, so that no index moves before its turn.
    places = sorted((one.place for one in fields), key=lambda place: [_sorted(step) for step in place])
    removals = [{"op": "remove", "path": _pointer(place)} for place in reversed(places)]
    # "replace", not "test": a changed object is then a 409 of the storage, not a 422 of the patch.
    guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": live.resource_version}
    return [*removals, guard]


def _is_kept(entry: Mapping[str, Any]) -> bool:
    """Whether what the entry owns is ours, or written through a subresource."""
    return entry.get("manager") == FIELD_MANAGER or bool(entry.get("subresource"))


def _places(
    fields: Fields, kept: Sequence[Fields], body: Any, place: Place = (), said: str = ""
) -> Iterator[tuple[Place, str]]:
    """The places in `body` that `fields` own and nothing of which is `kept`, each as high up as it may be."""
    for name, below in children(fields).items():
        key = named(name, body)
        if key is None or (place == () and name in ("f:status", "f:apiVersion", "f:kind")):
            continue
        if place == ("metadata",) and name not in ("f:labels", "f:annotations"):
            continue
        here, field = (*place, key), _readable(said, name)
        under = [node[name] for node in kept if name in node]
        if not under and (not children(below) or "." in below):
            yield here, field  # all of it is theirs, an item of a list with its key
        else:
            yield from _places(below, under, body[key], here, field)


def _is_usual(place: Place, live: Live) -> bool:
    """Whether it is what Kubernetes or its controllers write, or whoever marks what is his."""
    if place[0] == "metadata":
        name = str(place[-1])
        domain = name.partition("/")[0]
        return name in _NAMES or domain in _MARKS or (place[1] == "annotations" and domain in _CONTROLLERS)
    filled_in = _FILLED_IN.get((live.key.group, live.key.kind), frozenset())
    if is_aggregated(live.key, live.body or {}) and place[0] == "rules":
        return True
    return any(place[: len(one)] == one for one in filled_in) or place[-1] == _BUNDLE


def _meets(paths: Paths, place: Place) -> bool:
    """Whether the place is in what `paths` name, or has some of it below."""
    for step in place:
        if step not in paths:
            return False
        paths = paths[step]
        if not paths:
            return True
    return True


def _readable(said: str, name: str) -> str:
    """`spec.containers[name=main].image`: the names of items, no values of fields."""
    kind, _, text = name.partition(":")
    if kind == "f":
        quoted = text if text.replace("-", "").replace("_", "").isalnum() else json.dumps(text)
        return f"{said}.{quoted}" if said and quoted == text else f"{said}[{quoted}]" if said else quoted
    if kind == "k":
        keys = json.loads(text)
        return f"{said}[{','.join(f'{key}={value}' for key, value in keys.items())}]"
    return f"{said}[{'…' if kind == 'v' else text}]"


def _sorted(step: str | int) -> tuple[int, int, str]:
    return (0, step, "") if isinstance(step, int) else (1, 0, step)


def _pointer(place: Place) -> str:
    """https://www.rfc-editor.org/rfc/rfc6901"""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)

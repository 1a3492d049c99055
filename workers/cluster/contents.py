"""All that is in some namespaces, whosever it is: one LIST a kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from mooring.errors import ClusterRefused, ClusterUnavailable, MooringError
from mooring.keys import ObjectKey
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.cluster.live import Live

# Events come and go by the thousand and are nobody's; metrics are no objects.
_NEVER: Final = frozenset((("", "Event"), ("events.k8s.io", "Event")))
_METRICS: Final = "metrics.k8s.io"  # also custom.metrics.k8s.io, external.metrics.k8s.io
# With more namespaces than these, one list of all is less than one a namespace.
_FEW: Final = 3


@dataclass(frozen=True, slots=True)
class Contents:
    """`objects`, each once; and why some could not be listed, by the name of the kind (of the API version,
    where not even its kinds are known): what is missing may be there all the same."""

    objects: tuple[Live, ...]
    failed: Mapping[str, MooringError]


def contents(
    api: Api,
    executor: Executor,
    namespaces: Collection[str],
    *,
    without: Callable[[Kind], bool] = lambda _: False,
    whole: Callable[[Kind], bool] = lambda _: False,
    apart: bool = False,
) -> Contents:
    """What `namespaces` hold of all kinds but Events and those that are to be left out (`without`), as the
    server's cache has it: metadata alone, but of kinds that are wanted `whole`. Never the data of a Secret.
    `apart`: nothing of any other namespace is read, however many they are.

    Raises ClusterUnavailable and ClusterRefused only where not even the kinds can be asked for.
    """
    kinds, _ = _listable(api)
    places = sorted(namespaces) if apart or len(namespaces) <= _FEW else [""]
    asked = [(kind, place) for kind in kinds if not without(kind) for place in places]

    def listed(place: tuple[Kind, str]) -> tuple[Live, ...] | MooringError:
        kind, namespace = place
        small = (kind.group, kind.kind) == ("", "Secret") or not whole(kind)
        try:
            try:
                return api.list(kind, namespace, metadata_only=small, cached=True)
            except ClusterRefused as error:
                if namespace or error.code != HTTPStatus.FORBIDDEN:
                    raise
            # Whoever may not list all of them may still have a Role in each.
            each = (api.list(kind, one, metadata_only=small, cached=True) for one in sorted(namespaces))
            return tuple(live for found in each for live in found)
        except (ClusterRefused, ClusterUnavailable) as error:
            return error

    objects: dict[str | ObjectKey, Live] = {}
    failed: dict[str, MooringError] = {}
    for (kind, _), found in zip(asked, executor.map(listed, asked), strict=True):
        if isinstance(found, MooringError):
            failed.setdefault(_name(kind), found)
            continue
        for live in found:
            if live.key.namespace in namespaces:
                # Some are served by two groups; what an aggregated API makes up may have no uid.
                objects.setdefault(live.uid or live.key, live)
    if failed:
        # Discovery is asked anew where a kind was not served: one that was taken away since holds nothing.
        served = {_name(kind) for kind in _listable(api)[0]}
        failed = {name: error for name, error in failed.items() if name in served}
    return Contents(tuple(objects.values()), failed | unserved(api))


def unserved(api: Api) -> dict[str, ClusterUnavailable]:
    """The API versions that are down, and so are missing from what any namespace holds: known without a LIST.

    Raises as `contents`.
    """
    _, stale = _listable(api)
    why = "the API service of {} is down, so nobody can tell what it serves"
    return {version: ClusterUnavailable(why.format(version)) for version in sorted(stale)}


def _listable(api: Api) -> tuple[list[Kind], frozenset[str]]:
    """The namespaced kinds, each in the version that the server prefers; the API versions that are down."""
    served, stale = api.discovery.served()
    kinds: dict[tuple[str, str], Kind] = {}
    for kind in served:
        name = kind.group, kind.kind
        if kind.namespaced and "list" in kind.verbs and name not in _NEVER and not _metrics(kind.group):
            kinds.setdefault(name, kind)
    return list(kinds.values()), frozenset(one for one in stale if not _metrics(one.partition("/")[0]))


def _name(kind: Kind) -> str:
    return f"{kind.group}/{kind.kind}" if kind.group else kind.kind


def _metrics(group: str) -> bool:
    return group == _METRICS or group.endswith(f".{_METRICS}")

"""What changes in a cluster, as it changes: everything that is there first, then each change, without an end.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any, Final

import orjson

from mooring.errors import ClusterUnavailable
from workers.cluster.api import METADATA, Api
from workers.cluster.decode import decode
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.cluster.transport import JSON, Expired, refusal

_log = logging.getLogger(__name__)
# The server ends a watch after so long, so one of which nothing is heard for longer has lost its server.
_LASTS_S: Final = 120
_IDLE_S: Final = _LASTS_S + 10.0
_LONGEST: Final = 1 << 25  # bytes that one object may take: etcd takes a twentieth of it
_AGAIN_S: Final = (0.1, 5.0)  # after a server that went away: at first, at most


@dataclass(frozen=True, slots=True)
class Listed:
    """All that there is now: what was known before and is not among `objects` is gone."""

    objects: tuple[Live, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """The object is there, like this."""

    live: Live


@dataclass(frozen=True, slots=True)
class Gone:
    """The object is not there any more; `live` is its last state, or does not match the selector."""

    live: Live


Change = Listed | Changed | Gone


def watch(
    api: Api,
    kind: Kind,
    namespace: str = "",
    label_selector: str = "",
    *,
    metadata_only: bool = False,
    ends: Event | None = None,
) -> Iterator[Change]:
    """Every change to the objects of a kind, in one namespace or (empty) in all, until `ends` is set and the
    server has said anything more.

    Begins with a `Listed`, and again wherever the server has forgotten what came in between. A server that
    goes away is asked again until it is back. Raises ClusterRefused when it does not permit this, or does
    not serve the kind.
    """
    version, wait, ends = "", _AGAIN_S[0], ends or Event()
    while not ends.is_set():
        try:
            if not version:
                objects, version = api.snapshot(kind, namespace, label_selector, metadata_only, cached=True)
                listed = [Listed(objects)]
                del objects
                yield listed.pop()  # else the whole list would stay for as long as the watch
            for event in _events(api, kind, namespace, label_selector, version, metadata_only):
                if ends.is_set():
                    return
                item, version = event["object"], _version(kind, event)
                if event["type"] == "DELETED":
                    yield Gone(Live.read(kind, item, metadata_only=metadata_only))
                elif event["type"] != "BOOKMARK":
                    yield Changed(Live.read(kind, item, metadata_only=metadata_only))
                wait = _AGAIN_S[0]
        except Expired:
            version = ""
        except ClusterUnavailable as error:
            _log.debug("the watch of %s goes on in %.1f s: %s", kind.plural, wait, error)
            ends.wait(wait)
            wait = min(wait * 2, _AGAIN_S[1])


def _events(
    api: Api, kind: Kind, namespace: str, label_selector: str, version: str, metadata_only: bool
) -> Iterator[dict[str, Any]]:
    """What the server tells after `version`, until it ends that. Raises Expired when it has forgotten."""
    path = kind.path(namespace)
    query = [
        ("watch", "1"),
        ("resourceVersion", version),
        ("allowWatchBookmarks", "true"),
        ("timeoutSeconds", str(_LASTS_S)),
    ]
    if label_selector:
        query.append(("labelSelector", label_selector))
    accept = METADATA if metadata_only else JSON
    with api.transport.stream(
        path, identity=api.identity, query=query, accept=accept, idle_s=_IDLE_S
    ) as chunks:
        for line in _lines(chunks):
            try:
                event: dict[str, Any] = decode(line)
            except orjson.JSONDecodeError as error:  # cut off, or a proxy's words
                raise ClusterUnavailable(f"the watch of {kind.plural} told what is no JSON") from error
            if event.get("type") == "ERROR":
                status = event.get("object") or {}
                raise refusal("GET", path, int(status.get("code") or 500), orjson.dumps(status), None)
            yield event


def _version(kind: Kind, event: dict[str, Any]) -> str:
    try:
        return str(event["object"]["metadata"]["resourceVersion"])
    except (KeyError, TypeError) as error:
        raise ClusterUnavailable(
            f"the watch of {kind.plural} tells of an object without a version"
        ) from error


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)
        if len(rest) > _LONGEST:  # whoever says so has others' memory, too
            raise ClusterUnavailable("the watch told of an object without an end")

"""Kubernetes Events about an app: `kubectl describe application` shows what happened when."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mooring.errors import Conflict, MooringError
from workers.cluster.api import Api
from workers.cluster.kinds import Kind

EVENT: Final = Kind("", "v1", "Event", "events", namespaced=True)
LONGEST: Final = 1024  # characters, as the newer API events.k8s.io limits its `note`
_REPORTER: Final = "mooring"
_log = logging.getLogger(__name__)


def write(api: Api, about: Mapping[str, str], type_: str, reason: str, message: str) -> None:
    """Writes the Event; where the same was said before, its count goes up.

    `about` is the ObjectReference of an object with a namespace. Logs what fails, raises nothing.
    """
    body = event(about, type_, reason, message, now_text())
    try:
        try:
            api.create(EVENT, body)
        except Conflict:
            _repeat(api, body)
    except MooringError as error:
        _log.warning("no event %s for %s: %s", reason, about["name"], error)


def event(about: Mapping[str, str], type_: str, reason: str, message: str, now: str) -> dict[str, Any]:
    """The Event. Its name is the same for the same words about the same object, so that they are one."""
    message = message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}…"
    words = "\n".join((about.get("uid", ""), about["name"], type_, reason, message))
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about['name'][:200].rstrip('-.')}.{digest}",
            "namespace": about["namespace"],
        },
        "involvedObject": dict(about),
        "type": type_,
        "reason": reason,
        "message": message,
        "source": {"component": _REPORTER},
        "reportingComponent": _REPORTER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def now_text() -> str:
    """The time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _repeat(api: Api, body: dict[str, Any]) -> None:
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    live = api.get(EVENT, namespace, name)
    if live is None or live.body is None:
        return  # expired just now
    patch = {
        "metadata": {"resourceVersion": live.resource_version},
        "count": int(live.body.get("count") or 1) + 1,
        "lastTimestamp": body["lastTimestamp"],
    }
    try:
        api.patch(EVENT, namespace, name, patch)
    except Conflict:
        return  # somebody else has just said the same

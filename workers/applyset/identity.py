"""Whose an object is, written on the object: pure spelling of ids and marks."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mooring.keys import AppKey, ObjectKey
from mooring.names import APPLYSET_PART_OF, ID


@dataclass(frozen=True, slots=True)
class ObjectId:
    """What an object's annotation `mooring.dev/id` says. `app` is `str(AppKey)`."""

    installation: str
    app: str
    key: ObjectKey


def object_id(installation: str, app: AppKey, key: ObjectKey) -> str:
    """`<installation>/<app>/<group>/<kind>/<namespace>/<name>`."""
    return f"{installation}/{app}/{key}"


def parse_object_id(text: str) -> ObjectId | None:
    """Inverse of `object_id`; None for what is no such id: anybody can write anything into an annotation."""
    installation, _, rest = text.partition("/")
    app, _, key = rest.partition("/")
    try:
        parsed = ObjectKey.parse(key)
    except ValueError:
        return None
    if not (installation and app and parsed.kind and parsed.name):
        return None
    return ObjectId(installation, app, parsed)


def applyset_id(name: str, namespace: str, kind: str = "ConfigMap", group: str = "") -> str:
    """The id of the ApplySet whose parent is the named object; a label value of 55 characters.

    https://kubernetes.io/docs/reference/labels-annotations-taints/#applyset-kubernetes-io-id
    """
    digest = hashlib.sha256(f"{name}.{namespace}.{kind}.{group}".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def stamp(
    body: Mapping[str, Any], key: ObjectKey, app: AppKey, installation: str, applyset: str
) -> dict[str, Any]:
    """A copy of the manifest `body` of `key` that says whose it is.

    Whatever Git has under these two names is overwritten: a manifest exported from a cluster still
    carries the marks of what it was exported from.
    """
    metadata: Mapping[str, Any] = body.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), APPLYSET_PART_OF: applyset}
    annotations = {**(metadata.get("annotations") or {}), ID: object_id(installation, app, key)}
    return {**body, "metadata": {**metadata, "labels": labels, "annotations": annotations}}

"""Who this Mooring is: an id that is part of whatever it marks, and a key that only it has.

Both live in one Secret and are made once. With another id, all that was ever deployed would look like
somebody else's; so where there are traces of an installation and no Secret, we stop and ask for it.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mooring.errors import Conflict, Refused
from mooring.names import APPLYSET_ID, APPLYSET_TOOLING
from workers.applyset.parent import TOOL
from workers.cluster.api import Api
from workers.cluster.kinds import Kind

SECRET_NAME: Final = "mooring-installation"  # noqa: S105  # the name of an object
SECRET: Final = Kind("", "v1", "Secret", "secrets", namespaced=True)
_CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"  # base32, as it may stand in names of objects
_ID: Final = re.compile(r"[a-z2-7]{8}\Z")
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Installation:
    """`id` has 8 characters of base32, `key` 32 random bytes to encrypt with."""

    id: str
    key: bytes = field(repr=False)


def ensure(api: Api, home_namespace: str) -> Installation:
    """The installation of this namespace, made on the very first start; the namespace too, if need be.

    Any number of starters agree on one. Raises Refused as `find` does.
    """
    found = find(api, home_namespace)
    if found is not None:
        return found
    made = Installation("".join(secrets.choice(_ALPHABET) for _ in range(8)), secrets.token_bytes(_KEY_BYTES))
    try:
        _create(api, home_namespace, made)
    except Conflict as error:
        found = _get(api, home_namespace)
        if found is None:
            raise Refused(
                f"Secret {home_namespace}/{SECRET_NAME} was made and deleted again: start once more"
            ) from error
        return found
    return made


def find(api: Api, home_namespace: str) -> Installation | None:
    """The installation of this namespace, None when there was never one. Writes nothing.

    Raises Refused when the Secret is missing although objects of an installation are there, and when it
    cannot be understood.
    """
    found = _get(api, home_namespace)
    if found is not None:
        return found
    traces = _traces(api, home_namespace)
    if traces:
        found = _get(api, home_namespace)  # somebody may have made both since the first look
        if found is not None:
            return found
        raise Refused(
            f"Secret {home_namespace}/{SECRET_NAME} is missing, but {traces[0]} and {len(traces) - 1} more "
            "ConfigMaps say what this installation has deployed: restore the Secret from a backup"
        )
    return None


def _get(api: Api, namespace: str) -> Installation | None:
    live = api.get(SECRET, namespace, SECRET_NAME)
    return None if live is None else _read(namespace, (live.body or {}).get("data") or {})


def _read(namespace: str, data: Mapping[str, str]) -> Installation:
    try:
        id_ = base64.b64decode(data["id"], validate=True).decode("ascii")
        key = base64.b64decode(data["key"], validate=True)
    except (KeyError, binascii.Error, UnicodeDecodeError) as error:
        raise _damaged(namespace) from error
    if not _ID.match(id_) or len(key) != _KEY_BYTES:
        raise _damaged(namespace)
    return Installation(id_, key)


def _damaged(namespace: str) -> Refused:
    return Refused(f"Secret {namespace}/{SECRET_NAME} is damaged: restore it from a backup")


def _create(api: Api, namespace: str, made: Installation) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": SECRET_NAME,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": TOOL},
        },
        "type": "Opaque",
        "immutable": True,  # a typing error in `kubectl edit` would orphan everything
        "data": {
            "id": base64.b64encode(made.id.encode()).decode(),
            "key": base64.b64encode(made.key).decode(),
        },
    }
    api.ensure_namespace(namespace)
    api.create(SECRET, body)


def _traces(api: Api, namespace: str) -> tuple[str, ...]:
    """Names of the ApplySet parents that some Mooring has here."""
    return tuple(
        f"ConfigMap {live.key.name}"
        for live in api.list(_CONFIG_MAP, namespace, APPLYSET_ID, metadata_only=True)
        if live.annotations.get(APPLYSET_TOOLING, "").partition("/")[0] == TOOL
    )

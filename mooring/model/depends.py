"""`mooring.dev/depends-on: database, elsewhere/queue` on an Application: it is synced once those are Synced
and Healthy, whatever their sources are. Pure.
"""

from __future__ import annotations

import re
from typing import Final

from mooring.keys import AppKey
from mooring.model.annotations import annotation
from mooring.model.application import Application

# A name of Kubernetes' may have dots, a namespace's may not.
_NAME: Final = re.compile(r"(?:([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)/)?([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)\Z")


def depends_on(app: Application) -> tuple[AppKey, ...]:
    """The apps that `app` names, each once, in their order; what is no name is left out."""
    found = (_key(text, app.metadata.namespace) for text in _texts(app))
    return tuple(dict.fromkeys(key for key in found if key is not None))


def not_names(app: Application) -> tuple[str, ...]:
    """What stands among them and names no Application, as written."""
    return tuple(text for text in _texts(app) if _key(text, app.metadata.namespace) is None)


def _texts(app: Application) -> list[str]:
    text = annotation(app.metadata.annotations, "depends-on")
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _key(text: str, namespace: str) -> AppKey | None:
    match = _NAME.match(text) if len(text) <= 320 else None
    return AppKey(match[1] or namespace, match[2]) if match else None

"""Removed means removed: which fields that left Git are still on the object, and who keeps them. Pure.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mooring.names import FIELD_MANAGER
from workers.cluster.live import Live

Path = tuple[str, ...]


def still_there(before: Live, after: Live) -> str:
    """A sentence naming fields that we gave up in this apply and other managers keep; "" when none are.

    A field that nobody owns any more was removed by the server in the same write.
    """
    given_up = set(_owned(before, ours=True)) - set(_owned(after, ours=True))
    if not given_up:
        return ""
    kept: dict[str, list[str]] = {}
    for entry in after.managed_fields:
        if entry.get("manager") == FIELD_MANAGER:
            continue
        for path in sorted(given_up & set(_leaves(entry.get("fieldsV1")))):
            kept.setdefault(str(entry.get("manager", "unknown")), []).append(_readable(path))
    return "; ".join(
        f"{', '.join(paths)} left Git and is kept by {manager}" for manager, paths in sorted(kept.items())
    )


def taken(live: Live, after: Live) -> bool:
    """Whether others have taken fields of ours, which an apply with the answer `after` makes ours again.

    Where they have their values all the same, nothing differs; but once they leave Git they would stay, and
    nobody would say so.
    """
    return not set(_owned(after, ours=True)) <= set(_owned(live, ours=True))


def _owned(live: Live, *, ours: bool) -> Iterator[Path]:
    for entry in live.managed_fields:
        if (entry.get("manager") == FIELD_MANAGER) is ours:
            yield from _leaves(entry.get("fieldsV1"))


def _leaves(fields: Any, at: Path = ()) -> Iterator[Path]:
    if not isinstance(fields, Mapping) or not fields:
        if at:
            yield at
        return
    for name, below in fields.items():
        yield from _leaves(below, at if name == "." else (*at, name))


def _readable(path: Path) -> str:
    return ".".join(part.split(":", 1)[1] if ":" in part else part for part in path)

"""A delivery: what a Git host told us, reduced to what we act on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

_ID: Final = re.compile(r"(\d{1,14})-\d{1,20}")  # of a stream's entry: milliseconds since the epoch first


class EventKind(StrEnum):
    PUSH = "push"
    TAG = "tag"
    PULL_REQUEST = "pull-request"  # recorded; previews come later
    PING = "ping"
    IGNORED = "ignored"


class DeliveryState(StrEnum):
    RECEIVED = "received"  # in the ledger, not yet on the queue
    ENQUEUED = "enqueued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"  # every app concerned was synced, or none was concerned
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RefChange:
    """One ref moved by a push. `commit` is None when the ref was deleted."""

    ref: str  # "refs/heads/main", "refs/tags/v1"
    commit: str | None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A webhook as every host's parser gives it. Nothing in it is trusted: Git is asked again."""

    host: str  # "github", "gitlab", …
    kind: EventKind
    name: str  # the host's own name of the event, "push", "Tag Push Hook", …
    delivery: str  # the host's id of the delivery, or a digest of the body where it has none
    repo_urls: tuple[str, ...] = ()  # every spelling the payload offers
    changes: tuple[RefChange, ...] = ()
    default_branch: str = ""
    sender: str = ""
    repo_path: str = ""  # where the payload offers no URL: how clone URLs end there, "project/repository"

    @property
    def repositories(self) -> tuple[str, ...]:
        """What the payload calls the repository: its URLs, else its path, else nothing."""
        return self.repo_urls or ((self.repo_path,) if self.repo_path else ())

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Event:
        """The event of which `orjson.dumps` made `data`. Raises KeyError, TypeError or ValueError on anything
        else."""
        return cls(
            host=str(data["host"]),
            kind=EventKind(data["kind"]),
            name=str(data["name"]),
            delivery=str(data["delivery"]),
            repo_urls=tuple(str(url) for url in data["repo_urls"]),
            repo_path=str(data.get("repo_path", "")),
            changes=tuple(
                RefChange(str(c["ref"]), c["commit"] and str(c["commit"]), c["before"] and str(c["before"]))
                for c in data["changes"]
            ),
            default_branch=str(data["default_branch"]),
            sender=str(data["sender"]),
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a delivery's time line: `at` is when it ended, in seconds since the epoch."""

    name: str  # "received", "queued", "fetched", "rendered", "planned", "applied", "synced"
    at: float
    took_ms: float
    app: str = ""  # str(AppKey), empty for stages of the whole push
    note: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry of the ledger."""

    id: str  # ours: sortable by time, safe in URLs
    event: Event
    state: DeliveryState
    received_at: float
    outcome: str = ""
    stages: tuple[Stage, ...] = field(default=())


def received_at(id: str) -> float:
    """When the delivery of this id was received, in seconds since the epoch; 0.0 when the id is none.

    https://redis.io/docs/latest/develop/data-types/streams/#entry-ids
    """
    found = _ID.fullmatch(id)
    return int(found[1]) / 1000 if found else 0.0

"""Every error that Mooring raises on purpose, in one tree.

An edge (HTTP, Redis, Git, Kubernetes, a subprocess) converts its library's errors into these once,
`raise … from`, with credentials already masked: whatever is in a message may be shown to anybody.
"""

from __future__ import annotations

from collections.abc import Sequence

from mooring.text import printable


class MooringError(Exception):
    """The root. `str(error)` is one line that names the thing and the next step; what is not printable in
    it is spelt out, since names of files and answers of hosts are what strangers wrote."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Refused(MooringError):
    """The user's to fix; trying again changes nothing. Becomes a condition on the Application.

    `condition` is the Argo CD condition type it is shown under; `where` is `file:line` or empty.
    """

    def __init__(self, message: str, *, condition: str = "SyncError", where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.condition = condition
        self.where = where


class Retryable(MooringError):
    """May well succeed later. Goes back among the due steps; `after` is seconds until the next try."""

    def __init__(self, message: str, *, after: float = 1.0) -> None:
        super().__init__(message)
        self.after = after


class Conflict(MooringError):
    """A guarded write met an object that is not as planned (HTTP 409): read, and plan again."""


class Superseded(MooringError):
    """A newer commit or operation is wanted, or the claim on this one was lost: stop, write nothing."""


class RenderFailed(Refused):
    """The manifests could not be produced. Never means that there are none."""

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message, condition="ComparisonError", where=where)

    def told(self, message: str, *, where: str = "") -> RenderFailed:
        """The same failure in other words: one that took more than it may stays one."""
        kind = RenderExceeded if isinstance(self, RenderExceeded) else RenderFailed
        return kind(message, where=where)


class RenderExceeded(RenderFailed):
    """A render took more than it may: time, memory, room. The same again would take as much again."""


class GitFailed(Retryable):
    """The Git host could not be reached or answered nonsense."""


class TooSlow(Retryable):
    """Not done within the patience of this worker: it goes on in a pool where nobody waits behind it."""


class GitRefused(Refused):
    """The Git host says no: wrong credential, no such repository, no such revision."""

    def __init__(self, message: str) -> None:
        super().__init__(message, condition="ComparisonError")


class RemoteFailed(Retryable):
    """A host of charts, artifacts or files could not be reached, or answered nonsense."""


class RemoteRefused(Refused):
    """Such a host says no, or gives what is not to be taken: wrong digest, bomb, forbidden address."""

    def __init__(self, message: str) -> None:
        super().__init__(message, condition="ComparisonError")


class ClusterUnavailable(Retryable):
    """The API server could not be reached, timed out, or asked us to come back later."""


class ClusterRefused(Refused):
    """The API server says no for good: invalid object, forbidden, unknown kind. `code` is the HTTP status.

    `causes` are the fields that it names, each with its words: "" where these may quote a Secret.
    """

    def __init__(
        self, message: str, *, code: int = 0, reason: str = "", causes: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.causes = tuple(causes)


class StoreUnavailable(Retryable):
    """Redis could not be reached, timed out, or is not ready to take writes."""


class StoreGarbled(MooringError):
    """Under a key of ours Redis holds something that none of us put there, as another kind of value."""


class SchemaRefused(ClusterRefused):
    """Server-side apply cannot represent the manifest: an unknown field, a duplicate list key."""

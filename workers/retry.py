"""When a failed sync is tried again, as spec.syncPolicy.retry says it. Pure.

https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/#automatic-retry-refresh-on-new-revisions
"""

from __future__ import annotations

import re
from datetime import datetime

from mooring.model.spec import Retry
from mooring.model.status import OperationState
from workers import durations
from workers.ownership import moment

_LARGEST_FACTOR = 1000
# What may pass by itself (an API server away, an object that somebody keeps changing) is tried again
# even where the app asks for no retries, but not for ever.
_PASSING_TRIES = 10


def next_try(retry: Retry, tried: int, passing: bool) -> float | None:
    """Seconds until the next try after `tried` retries, or None when it is not to be tried again."""
    backoff = retry.backoff
    first = seconds(backoff.duration if backoff else "", 5.0)
    most = seconds(backoff.max_duration if backoff else "", 180.0)
    factor = min(max((backoff.factor if backoff else None) or 2, 1), _LARGEST_FACTOR)
    limit = _PASSING_TRIES if passing and retry.limit == 0 else retry.limit
    if 0 <= limit <= tried:
        return None
    if passing and retry.limit == 0:
        first = 1.0
    return min(first * float(factor) ** min(tried, 30), most)


def still_waits(state: OperationState, now: datetime) -> float:
    """Seconds until the next try of an operation that is in back-off since `finishedAt`; 0 of any other."""
    since = moment(state.finished_at)
    if state.phase != "Running" or not state.retry_count or since is None:
        return 0.0
    retry = state.operation.retry
    wait = next_try(retry, state.retry_count - 1, passing=retry.limit == 0)
    return min(max(0.0, (since - now).total_seconds() + wait), wait) if wait else 0.0


def seconds(text: str, default: float) -> float:
    """A duration as Go writes it (`1h30m`, `500ms`) or plain seconds; `default` when empty or unreadable."""
    text = text.strip()
    if not text:
        return default
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    found = durations.seconds(text)
    return default if found is None else found

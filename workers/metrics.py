"""What the workers measure. docs/metrics.md says what each means.

No label has more values than there are applications, kinds' groups or answers: what strangers choose freely
is none.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from mooring.delivery import received_at
from mooring.errors import MooringError, Refused

PUSH_APPLIED: Final = Histogram(
    "mooring_push_applied_seconds",
    "From the receipt of a delivery until it was applied to an application",
    buckets=(0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30, 60, 120, 300),
)
SYNCS: Final = Counter("mooring_syncs_total", "Syncs by application and how they ended", ["app", "phase"])
DRIFTS: Final = Counter(
    "mooring_drifts_total", "Drifts by application and what became of them", ["app", "what"]
)
WAKES: Final = Counter("mooring_wakes_total", "Applications that the observer has woken", ["why"])
UNWATCHED: Final = Gauge(
    "mooring_unwatched_kinds",
    "Kinds that the observer may not watch: 1 for each",
    ["cluster", "group", "kind"],
)
RENDERS: Final = Counter(
    "mooring_renders_total", "Sources whose manifests were wanted, by tool", ["kind", "result"]
)
REQUESTS: Final = Counter(
    "mooring_kubernetes_requests_total",
    "Requests to the API server",
    ["verb", "group", "code"],
)
REQUEST_DURATION: Final = Histogram(
    "mooring_kubernetes_request_duration_seconds",
    "How long the API server took to answer",
    ["verb"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FETCHES: Final = Counter(
    "mooring_git_requests_total",
    "What Git hosts were asked for",
    ["operation", "how", "result"],
)
FETCH_DURATION: Final = Histogram(
    "mooring_git_request_duration_seconds",
    "How long that took",
    ["operation", "how"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 90),
)

_PATH: Final = re.compile(
    r"/(?:api/[^/]+|apis/(?P<group>[^/]+)/[^/]+)/(?:namespaces/[^/]+/(?=.))?[^/]+(?P<name>/.+)?"
)


def applied(deliveries: Iterable[str], now: float) -> None:
    """What `deliveries` (their ids) brought is in the cluster."""
    for delivery in deliveries:
        if received := received_at(delivery):
            PUSH_APPLIED.observe(max(now - received, 0.0))


def requested(method: str, path: str, content_type: str, code: str, took_s: float) -> None:
    """The API server was asked, and answered with `code`, an HTTP status, or `none` when it did not."""
    verb, group = asked(method, path, content_type)
    requests, duration = _counted(verb, group, code)
    requests.inc()
    duration.observe(took_s)


@lru_cache(maxsize=256)
def _counted(verb: str, group: str, code: str) -> tuple[Counter, Histogram]:
    """Those of REQUESTS and REQUEST_DURATION that have these labels: to find them takes longer than to
    count."""
    return REQUESTS.labels(verb, group, code), REQUEST_DURATION.labels(verb)


def asked(method: str, path: str, content_type: str) -> tuple[str, str]:
    """Kubernetes' own verb for a request, and the API group of what it is about ("core" where that is "").

    What is about no object, as discovery, is (`discover`, "").
    """
    found = _PATH.fullmatch(path)
    if found is None:
        return "discover", ""
    verb = method.lower()
    if method == "GET":
        verb = "get" if found["name"] else "list"
    elif method == "POST":
        verb = "create"
    elif method == "PUT":
        verb = "update"
    elif "apply-patch" in content_type:
        verb = "apply"
    return verb, found["group"] or "core"


@contextlib.contextmanager
def git(operation: str, how: str) -> Iterator[None]:
    """The block asks a Git host: `operation` is `refs` or `fetch`, `how` is `http` (our own client) or
    `git`."""
    began, result = time.monotonic(), "ok"
    try:
        yield
    except MooringError as error:
        result = "refused" if isinstance(error, Refused) else "failed"
        raise
    finally:
        FETCHES.labels(operation, how, result).inc()
        FETCH_DURATION.labels(operation, how).observe(time.monotonic() - began)

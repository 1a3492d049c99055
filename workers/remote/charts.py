"""Helm chart repositories over HTTP: an index.yaml, and archives beside it or elsewhere.

https://helm.sh/docs/topics/chart_repository/
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

from mooring.errors import RemoteRefused, RenderFailed
from mooring.text import printable
from workers.remote.http import Access, Client, shown_url
from workers.remote.semver import newest
from workers.render.yaml_reader import Budget, read_documents
from workers.validators import unless_changed

# Bytes. The largest of the public repositories have some 20 MB; 2,000 versions (1.7 MB) are read in 0.2 s.
INDEX_LIMIT: Final = 32 << 20
_INDEX_VALUES: Final = 10_000_000
_REMEMBERED: Final = 16  # indexes
_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a chart as the index has it."""

    version: str
    url: str  # absolute; also `oci://host/path:tag`
    digest: str  # SHA-256 of the archive, 64 hexadecimal digits, or "" where the index has none


Index = Mapping[str, tuple[Release, ...]]


@dataclass(frozen=True, slots=True)
class _Known:
    unless_changed: Mapping[str, str]
    index: Index
    asked_at: float = 0.0  # as `time.monotonic` has it


class Indexes:
    """The indexes of repositories, asked for each time and read anew only when they changed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._lock = threading.Lock()

    def release(
        self,
        repo_url: str,
        chart: str,
        revision: str,
        access: Access,
        deadline: float,
        since: float = math.inf,
    ) -> Release:
        """The release that `revision` (a version, a range, or "" for the newest) means.

        An index that was asked for `since` (as `time.monotonic` has it) is not asked for again.
        Raises RemoteRefused when there is none, or the index cannot be used; RemoteFailed.
        """
        shown = shown_url(repo_url)
        releases = self.index(repo_url, access, deadline, since).get(chart, ())
        if not releases:
            raise RemoteRefused(f"{shown} has no chart {chart!r}: correct spec.source.chart or repoURL")
        by_version = {release.version: release for release in reversed(releases)}
        try:
            version = newest(by_version, revision)
        except ValueError as error:
            raise RemoteRefused(
                f"{shown} has no version {revision!r} of chart {chart!r}, and that is no range: correct it"
            ) from error
        if version is None:
            raise RemoteRefused(
                f"{shown} has no version of chart {chart!r} that fits {revision!r}: correct it"
            )
        return by_version[version]

    def index(self, repo_url: str, access: Access, deadline: float, since: float = math.inf) -> Index:
        """All charts of a repository, by name. Raises as `release` does."""
        url = index_url(repo_url)
        key = (url, access.credential.identity)
        with self._lock:
            known = self._known.get(key)
        if known is not None and known.asked_at >= since:
            return known.index
        asked_at = time.monotonic()
        asked = known.unless_changed if known is not None else {}
        answer = self._client.get(
            url,
            access,
            limit=INDEX_LIMIT,
            deadline=deadline,
            headers=asked,
            expect=(200, 304) if asked else (200,),
        )
        if answer.status != 304 or known is None:
            index = read_index(answer.body, repo_url)
            known = _Known(unless_changed(answer.headers, time.time()), index)
        with self._lock:
            self._known[key] = replace(known, asked_at=asked_at)
            self._known.move_to_end(key)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known.index


def index_url(repo_url: str) -> str:
    """Where the index of a repository is."""
    return beside(repo_url, "index.yaml")


def beside(repo_url: str, reference: str) -> str:
    """What `reference` means in an index of `repo_url`, whose query stays, as Helm has it."""
    parts = urlsplit(repo_url)
    base = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + "/", "", ""))
    if urlsplit(reference).scheme:
        return reference
    found = urljoin(base, reference)
    return f"{found}?{parts.query}" if parts.query and "?" not in found else found


def read_index(data: bytes, repo_url: str) -> Index:
    """The charts of an index.yaml. Versions that cannot be used are passed over, as Helm does.

    Raises RemoteRefused when it is no index.
    """
    shown = shown_url(index_url(repo_url))
    try:
        documents, _warnings = read_documents(data, shown, budget=Budget(values=_INDEX_VALUES))
    except RenderFailed as error:
        raise RemoteRefused(f"{error}: the repository's owner must mend its index") from error
    entries = documents[0].body.get("entries") if len(documents) == 1 else None
    if not isinstance(entries, dict):
        raise RemoteRefused(f"{shown} is not the index of a chart repository: correct repoURL")
    index = dict[str, tuple[Release, ...]]()
    for name, versions in entries.items():
        releases = [_release(version, name, repo_url) for version in _list(versions)]
        index[name] = tuple(release for release in releases if release is not None)
    return index


def _release(told: Any, name: str, repo_url: str) -> Release | None:
    if not isinstance(told, dict) or told.get("name", name) != name:
        return None
    version, urls, digest = told.get("version"), _list(told.get("urls")), told.get("digest")
    if not isinstance(version, str) or not version.isprintable():
        return None
    url = next((url for url in urls if isinstance(url, str) and url), "")
    if not url:
        return None
    match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    return Release(version, beside(repo_url, url), match[1] if match else "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def check_chart(text: bytes, chart: str) -> None:
    """That a Chart.yaml says it is `chart`. Raises RemoteRefused."""
    try:
        documents, _warnings = read_documents(text, "Chart.yaml")
    except RenderFailed as error:
        raise RemoteRefused(f"the chart cannot be used: {error}") from error
    name = documents[0].body.get("name") if len(documents) == 1 else None
    if name != chart:
        raise RemoteRefused(f"the archive holds the chart {printable(repr(name))[:100]}, not {chart!r}")

"""Which applications a push concerns, and which of them it touches. The matching is pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from mooring.delivery import Event
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.repourl import ends_with, normalise
from mooring.revision import concerns

PUSH = "push:"  # how the names of turns on repositories begin


@dataclass(frozen=True, slots=True)
class Wanted:
    """A repository at a revision, as one or more applications want it.

    `hint` is the commit that a delivery named, "" where it named none. It is a hint only: the host is
    asked where the ref really is.
    """

    name: str  # of the turn: "push:<digest>"
    repo: str  # normalised
    revision: str  # targetRevision as written
    hint: str = ""


def group(app: Application) -> Wanted | None:
    """What `app` follows; None when it has no single Git source."""
    source = app.spec.source
    if source is None or app.spec.sources or source.chart or not source.repo_url:
        return None
    return following(source.repo_url, source.target_revision)


@lru_cache(maxsize=4096)  # every delivery asks for every application
def following(repo_url: str, target_revision: str) -> Wanted:
    """The repository at the revision, however the two are spelled."""
    repo, revision = normalise(repo_url), target_revision.strip() or "HEAD"
    digest = hashlib.sha256(f"{repo}\n{revision}".encode()).hexdigest()[:24]
    return Wanted(f"{PUSH}{digest}", repo, revision)


def concerned(event: Event, apps: Iterable[Application]) -> Mapping[Wanted, list[AppKey]]:
    """The groups of `apps` that `event` concerns, with the apps in each."""
    repos = {normalise(url) for url in event.repo_urls}
    found: dict[Wanted, list[AppKey]] = {}
    for app in apps:
        wanted = group(app)
        if wanted is None or not (wanted.repo in repos or ends_with(wanted.repo, event.repo_path)):
            continue
        for change in event.changes:
            if concerns(wanted.revision, change.ref, event.default_branch):
                hinted = Wanted(wanted.name, wanted.repo, wanted.revision, change.commit or "")
                found.setdefault(hinted, []).append(app.key)
                break
    return found

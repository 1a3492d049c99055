"""Which applications a push concerns, and which of them it touches. The matching is pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from mooring.delivery import Event
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.spec import Source
from mooring.repourl import ends_with, is_oci, normalise
from mooring.revision import concerns, is_digest, is_version

PUSH = "push:"  # how the names of turns on repositories begin


@dataclass(frozen=True, slots=True)
class Wanted:
    """A repository at a revision, as one or more applications want it; or a chart or artifact likewise.

    `hint` is the commit that a delivery named, "" where it named none. It is a hint only: the host is
    asked where the ref really is.
    """

    name: str  # of the turn: "push:<digest>"
    repo: str  # normalised
    revision: str  # targetRevision as written
    hint: str = ""
    chart: str = ""

    @property
    def pushed(self) -> bool:
        """Whether its host tells of changes. Those of charts and artifacts never do: they are polled."""
        return not self.chart and not is_oci(self.repo)

    @property
    def settled(self) -> bool:
        """Whether it cannot change, so that nobody need ask again: a chart's whole version, a digest."""
        return not self.pushed and (
            is_digest(self.revision) or (bool(self.chart) and is_version(self.revision))
        )

    @property
    def wishes(self) -> dict[str, str]:
        """What to wish of the turn."""
        chart = {"chart": self.chart} if self.chart else {}
        return {"repo": self.repo, "revision": self.revision, "hint": self.hint, **chart}


def groups(app: Application) -> tuple[Wanted, ...]:
    """What `app` follows: one or more, each once, in the order of its sources."""
    return tuple(dict.fromkeys(followed(source) for source in sources(app)))


def positions(app: Application, name: str) -> tuple[int, ...]:
    """The positions of the sources that the turn `name` is about."""
    return tuple(number for number, source in enumerate(sources(app)) if followed(source).name == name)


def sources(app: Application) -> tuple[Source, ...]:
    """Those that are followed: all, or none where one of them names no repository."""
    found = app.spec.all_sources
    return () if app.spec.source_hydrator or not all(source.repo_url for source in found) else found


def followed(source: Source) -> Wanted:
    """What a source follows."""
    return following(source.repo_url, source.target_revision, source.chart)


@lru_cache(maxsize=4096)  # every delivery asks for every application
def following(repo_url: str, target_revision: str, chart: str = "") -> Wanted:
    """The repository (or the chart in it) at the revision, however the two are spelled."""
    repo, revision = normalise(repo_url), target_revision.strip() or "HEAD"
    text = f"{repo}\n{revision}" + (f"\n{chart}" if chart else "")
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    return Wanted(f"{PUSH}{digest}", repo, revision, chart=chart)


def concerned(event: Event, apps: Iterable[Application]) -> Mapping[Wanted, list[AppKey]]:
    """The groups of `apps` that `event` concerns, with the apps in each."""
    repos = {normalise(url) for url in event.repo_urls}
    found: dict[Wanted, list[AppKey]] = {}
    for app in apps:
        for wanted in groups(app):
            if not wanted.pushed or not (wanted.repo in repos or ends_with(wanted.repo, event.repo_path)):
                continue
            for change in event.changes:
                if concerns(wanted.revision, change.ref, event.default_branch):
                    found.setdefault(replace(wanted, hint=change.commit or ""), []).append(app.key)
                    break
    return found

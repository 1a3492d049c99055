"""What the verbs of `mooring app` share: finding an Application, and reading it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from cli.exits import Missing
from cli.home import Home
from cli.selector import Selector
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.pinned import revisions_of
from mooring.model.status import RevisionHistory, SyncResult, SyncStatus
from mooring.revision import shortened


def find(home: Home, name: str) -> Application:
    """The Application `name`, or `namespace/name`. Raises Missing; Refused when it cannot be read."""
    namespace, _, plain = name.rpartition("/")
    key = AppKey(namespace or home.settings.namespace, plain)
    found = home.applications.get(key)
    if found is None:
        raise Missing(
            f"no Application {key.namespace}/{key.name}: `mooring app list -N {key.namespace}` shows all"
        )
    return found


def choose(
    home: Home, names: Sequence[str], selector: Selector | None, projects: Sequence[str] = ()
) -> list[Application]:
    """The Applications that are named, or those that match `selector` and are of one of `projects`.

    Raises Missing, UsageError when nothing or both are given, Refused when one cannot be read.
    """
    if names:
        if selector or projects:
            raise click.UsageError("give names, or choose by --selector and --project, not both")
        return [find(home, name) for name in dict.fromkeys(names)]
    if selector is None and not projects:
        raise click.UsageError("give the NAME of an Application, or choose some by --selector or --project")
    found = [
        app
        for app in sorted(home.applications.list().apps, key=lambda each: each.key)
        if (selector is None or selector(app.metadata.labels))
        and (not projects or app.spec.project_name in projects)
    ]
    if not found:
        raise Missing(f"no Application matches: `mooring app list -N {home.settings.namespace}` shows all")
    return found


def manifest(app: Application) -> dict[str, Any]:
    """The Application as an object, without what only the API server cares about."""
    raw = dict(app.raw)
    metadata: Mapping[str, Any] = raw.get("metadata") or {}
    hidden = ("managedFields",)
    raw["metadata"] = {name: value for name, value in metadata.items() if name not in hidden}
    return raw


def sync_word(app: Application) -> str:
    return app.status.sync.status if app.status.sync else "Unknown"


def health_word(app: Application) -> str:
    return app.status.health.status or "Unknown"


def revision(part: SyncStatus | SyncResult | RevisionHistory | None) -> str:
    """The revision, or one a source, as people see it."""
    return ", ".join(shortened(each) for each in revisions_of(part))


def policy(app: Application) -> str:
    """`Manual`, `Auto`, `Auto-Prune` …, as `argocd app list` says it."""
    rules = app.spec.automated
    if rules is None:
        return "Manual"
    return "Auto" + ("-Prune" if rules.prune else "") + ("-SelfHeal" if rules.self_heal else "")


def conditions(app: Application) -> str:
    """The types of its conditions, with counts: `SyncError(2)`."""
    counts: dict[str, int] = {}
    for condition in app.status.conditions:
        counts[condition.type] = counts.get(condition.type, 0) + 1
    return (
        ",".join(f"{type_}({count})" if count > 1 else type_ for type_, count in counts.items()) or "<none>"
    )

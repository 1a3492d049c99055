"""`mooring app get`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

import click

from cli import show
from cli.app.follow import until
from cli.app.words import find, health_word, manifest, revision, sync_word
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from cli.named import app_argument
from mooring.errors import MooringError, Refused
from mooring.model.application import Application
from mooring.model.depends import depends_on
from mooring.model.finalizers import cascade
from mooring.names import REFRESH
from mooring.repourl import masked
from mooring.settings import Settings


@click.command(cls=Verb)
@home_options
@app_argument
@click.option("--refresh", is_flag=True, help="Compare with Git and the cluster first.")
@click.option("--hard-refresh", is_flag=True, help="Likewise, and believe no cache.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the refresh.")
@show.output_option
def get(
    settings: Settings, name: str, refresh: bool, hard_refresh: bool, timeout: float, output: str | None
) -> None:
    """Show one Application: where it comes from, how it is, and its objects."""
    home = connect(settings)
    app = find(home, name)
    if refresh or hard_refresh:
        how: Literal["normal", "hard"] = "hard" if hard_refresh else "normal"
        app = refreshed(home, home.applications.ask_refresh(app, how), how, timeout)
    print_apps(home, [app], output or "wide", several=False)


def print_apps(home: Home, apps: Sequence[Application], output: str, several: bool) -> None:
    """Print Applications in one of show.FORMATS; for programs a list of them when there may be several."""
    match output:
        case "json" | "yaml":
            bodies = [manifest(app) for app in apps]
            show.structured(bodies if several or not bodies else bodies[0], output)
        case "name":
            for app in apps:
                click.echo(f"{app.key.namespace}/{app.key.name}")
        case _:
            for number, app in enumerate(apps):
                if number:
                    click.echo()
                overview(app, _window(home, app))


def overview(app: Application, window: str) -> None:
    """Print where it comes from, how it is, and its objects. `window` is what its sync windows say."""
    for title, text in _summary(app, window):
        click.echo(f"{title + ':' if title else '':<20}{text}".rstrip())
    click.echo()
    resources(app)


def resources(app: Application) -> None:
    """Print its objects, one a line, and the hooks of its last sync."""
    rows = []
    results = app.status.operation_state.sync_result if app.status.operation_state else None
    told = results.resources if results else ()
    said = {(r.group, r.kind, r.namespace, r.name): r for r in told}
    for item in app.status.resources:
        if item.hook:
            continue
        result = said.get((item.group, item.kind, item.namespace, item.name))
        health = item.health.status if item.health else ""
        message = result.message if result else item.health.message if item.health else ""
        status = "OutOfSync (prune)" if item.requires_pruning else item.status
        rows.append((item.group, item.kind, item.namespace, item.name, status, health, message))
    show.columns(("GROUP", "KIND", "NAMESPACE", "NAME", "STATUS", "HEALTH", "MESSAGE"), rows)
    hooks = [r for r in told if r.hook_type]
    if hooks:
        click.echo()
        lines = [(r.hook_type, r.group, r.kind, r.namespace, r.name, r.hook_phase, r.message) for r in hooks]
        show.columns(("HOOK", "GROUP", "KIND", "NAMESPACE", "NAME", "STATUS", "MESSAGE"), lines)


def _window(home: Home, app: Application) -> str:
    """What the sync windows of its project say now; "" where none applies to it."""
    from workers.clusters.named import cluster_of
    from workers.windows import applying, verdict

    try:
        project = home.applications.project(app.spec.project_name)
    except Refused:
        return ""  # a condition says so
    try:
        cluster = cluster_of(app.spec.destination, home.applications.home(), home.applications.clusters)
        windows = applying(project, app, cluster)
    except Refused as error:
        return f"held: {error}"
    except MooringError as error:  # of the Secret that tells which cluster it is
        return f"not known: {error}"
    return str(verdict(windows, datetime.now(UTC))) if windows else ""


def _summary(app: Application, window: str) -> Iterator[tuple[str, str]]:
    spec, destination = app.spec, app.spec.destination
    yield "Name", f"{app.key.namespace}/{app.key.name}"
    yield "Project", show.one_line(spec.project_name)
    yield "Server", show.one_line(destination.server or destination.name)
    yield "Namespace", show.one_line(destination.namespace)
    for number, source in enumerate(spec.all_sources, 1):
        if spec.sources:
            yield "Source", show.one_line(f"{number} ({source.name})" if source.name else str(number))
        yield "Repo", show.one_line(masked(source.repo_url))
        yield "Target", show.one_line(source.target_revision or "HEAD")
        yield "Chart" if source.chart else "Path", show.one_line(source.chart or source.path)
        if source.ref:
            yield "Ref", show.one_line(source.ref)
    rules = spec.automated
    if rules is None:
        yield "Sync Policy", "Manual"
    else:
        words = [("Prune", rules.prune), ("SelfHeal", rules.self_heal), ("AllowEmpty", rules.allow_empty)]
        chosen = ", ".join(word for word, on in words if on)
        yield "Sync Policy", f"Automated ({chosen})" if chosen else "Automated"
    if others := depends_on(app):
        yield "Depends On", ", ".join(key.title for key in others)
    if app.metadata.deletion_timestamp:
        how = (
            "with what it has deployed" if cascade(app.metadata.finalizers) else "what it has deployed stays"
        )
        yield "Deleted", f"{app.metadata.deletion_timestamp}, {how}"
    if window:
        yield "Sync Window", show.one_line(window)
    commit = revision(app.status.sync)
    yield "Sync Status", show.coloured(sync_word(app)) + (f" at {commit}" if commit else "")
    yield "Health Status", show.coloured(health_word(app))
    state = app.status.operation_state
    if state is not None:
        yield "Last Operation", f"{show.coloured(state.phase)} {state.finished_at or state.started_at}"
        yield "", show.one_line(state.message)
    if app.operation is not None:
        yield "Asked For", "an operation that no worker has taken up yet"
    for condition in app.status.conditions:
        yield "Condition", f"{condition.type}: {show.one_line(condition.message)}"


def refreshed(
    home: Home, app: Application, how: str, timeout: float, since: float | None = None
) -> Application:
    """The Application once the refresh that was asked for is done. Raises TimedOut, Missing."""

    def done(now: Application) -> bool:
        return REFRESH not in now.metadata.annotations

    what = f"{how} refresh of {app.key.name}"
    hint = "is `mooring up` (or worker and beat) running?"
    return until(home, app.key, done, what, timeout, hint, since=since)

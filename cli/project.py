"""`mooring project`: what Applications may use, as the AppProjects say it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from cli import show
from cli.exits import Missing
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from cli.show import one_line
from mooring.errors import Refused
from mooring.model.project import AppProject
from mooring.settings import Settings


@click.group()
def project() -> None:
    """Projects: what their Applications may use."""


@project.command("list", cls=Verb)
@home_options
@show.output_option
def list_(settings: Settings, output: str | None) -> None:
    """List the projects; `default` is there even when no object says so."""
    home = connect(settings)
    found = sorted(home.applications.projects().values(), key=lambda each: each.metadata.name)
    match output:
        case "json" | "yaml":
            show.structured([_body(each) for each in found], output)
        case "name":
            for each in found:
                click.echo(each.metadata.name)
        case _:
            apps = [app.spec.project_name for app in home.applications.list().apps]
            show.columns(
                ("NAME", "DESCRIPTION", "DESTINATIONS", "SOURCES", "CLUSTER-RESOURCES", "APPS"),
                [_row(each, apps.count(each.metadata.name)) for each in found],
            )


@project.command(cls=Verb)
@home_options
@click.argument("name")
@show.output_option
def get(settings: Settings, name: str, output: str | None) -> None:
    """Show one project: sources, destinations and kinds that it permits."""
    found = _find(connect(settings), name)
    match output:
        case "json" | "yaml":
            show.structured(_body(found), output)
        case "name":
            click.echo(found.metadata.name)
        case _:
            for title, text in _summary(found):
                click.echo(f"{title + ':' if title else '':<31}{one_line(text)}".rstrip())


def _find(home: Home, name: str) -> AppProject:
    """Raises Missing; Refused when its manifest cannot be read."""
    found = home.applications.projects().get(name)
    if found is not None:
        return found
    try:
        return home.applications.project(name)
    except Refused as error:
        if "does not exist" not in str(error):
            raise
        raise Missing(
            f"no project {name}: `mooring project list -N {home.settings.namespace}` shows all"
        ) from error


def _body(found: AppProject) -> dict[str, Any]:
    body = found.to_dict()
    body["metadata"].pop("managedFields", None)
    return body


def _row(found: AppProject, apps: int) -> tuple[str, ...]:
    spec = found.spec
    kinds = [f"{kind.group}/{kind.kind}" for kind in spec.cluster_resource_whitelist]
    places = [f"{where.server or where.name},{where.namespace}" for where in spec.destinations]
    return (
        found.metadata.name,
        spec.description,
        _short(places, "destinations"),
        _short(spec.source_repos, "repos"),
        _short(kinds, "kinds"),
        str(apps),
    )


def _short(values: Sequence[str], what: str) -> str:
    match values:
        case []:
            return "<none>"
        case [one]:
            return one
        case _:
            return f"{len(values)} {what}"


def _summary(found: AppProject) -> Iterator[tuple[str, str]]:
    spec = found.spec
    yield "Name", found.metadata.name
    if spec.description:
        yield "Description", spec.description
    places = [f"{where.server or where.name},{where.namespace}" for where in spec.destinations]
    yield from _rows("Destinations", places)
    yield from _rows("Repositories", spec.source_repos)
    allowed = [f"{kind.group}/{kind.kind} {kind.name}".strip() for kind in spec.cluster_resource_whitelist]
    yield from _rows("Allowed Cluster Resources", allowed)
    denied = [f"{kind.group}/{kind.kind} {kind.name}".strip() for kind in spec.cluster_resource_blacklist]
    yield from _rows("Denied Cluster Resources", denied)
    white = spec.namespace_resource_whitelist
    named = None if white is None else [f"{kind.group}/{kind.kind}" for kind in white]
    yield from _rows("Allowed Namespaced Resources", ["*/*"] if named is None else named)
    black = [f"{kind.group}/{kind.kind}" for kind in spec.namespace_resource_blacklist]
    yield from _rows("Denied Namespaced Resources", black)
    if spec.signature_keys:
        yield from _rows("Signature Keys", [key.key_id for key in spec.signature_keys])
    if spec.sync_windows:
        yield from _rows("Sync Windows", [window.title for window in spec.sync_windows])


def _rows(title: str, values: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, value in enumerate(values or ["<none>"]):
        yield title if number == 0 else "", value

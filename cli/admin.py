"""`mooring admin`: everything that was declared, out to one YAML file and in from one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli import show
from cli.exits import complain
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from mooring.errors import Refused
from mooring.model.application import Application
from mooring.model.project import AppProject
from mooring.names import OURS, REFRESH, STATE
from mooring.settings import Settings
from workers import mergepatch
from workers.apps.home import APPLICATION, PROJECT
from workers.git.credentials import SECRET_TYPE
from workers.installation import SECRET
from workers.mergepatch import without_nulls

if TYPE_CHECKING:
    from workers.cluster.kinds import Kind

_REPO_TYPES: Final = ("repository", "repo-creds")
# What others remember on an object; it means nothing elsewhere.
_REMEMBERED: Final = (
    STATE,
    REFRESH,
    f"{OURS}/refresh",
    "kubectl.kubernetes.io/last-applied-configuration",
)
# Projects and credentials first: an Application that syncs by itself needs both at once.
_ORDER: Final = ("AppProject", "Secret", "Application")
_CONTENT: Final = {"AppProject": ("spec",), "Application": ("spec",), "Secret": ("type", "data")}


@click.group()
def admin() -> None:
    """Export and import: for backups, and for moving to another cluster."""


@admin.command(cls=Verb, short_help="Print AppProjects and Applications as YAML.")
@home_options
@click.option(
    "--secrets", is_flag=True, help="With the repositories' Secrets, whose values are then readable."
)
def export(settings: Settings, secrets: bool) -> None:
    """Print AppProjects and Applications as YAML: what was declared, without status and history.

    They name no namespace: `import` puts them where it is told to.
    """
    for body in exported(connect(settings), secrets):
        click.echo("---")
        show.structured(body, "yaml")


@admin.command("import", cls=Verb, short_help="Create or change what a file declares.")
@home_options
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Say what would be done; the API server checks it, too.")
def import_(settings: Settings, file: str, dry_run: bool) -> None:
    """Create or change what FILE (`-` is stdin) declares; what it does not name stays.

    Nothing is written unless all of it can be read.
    """
    if settings.apps_dir:
        raise Refused(f"the Applications are files in {settings.apps_dir}: write files there")
    bodies = sorted(_read(file, settings.namespace), key=lambda body: _ORDER.index(body["kind"]))
    home = connect(settings)
    for body in bodies:
        done = _put(home, body, dry_run)
        name = f"{body['kind']} {settings.namespace}/{body['metadata']['name']}"
        click.echo(f"{name} {done}{' (dry run)' if dry_run else ''}")


def exported(home: Home, secrets: bool) -> Iterator[dict[str, Any]]:
    """The objects as they were declared, in the order in which to create them."""
    namespace = home.settings.namespace
    for live in home.api.list(PROJECT, namespace):
        yield declared(live.body or {}, PROJECT)
    if secrets:
        for live in home.api.list(SECRET, namespace, f"{SECRET_TYPE} in ({','.join(_REPO_TYPES)})"):
            yield declared(live.body or {}, SECRET)
    if home.settings.apps_dir:
        for app in home.applications.list().apps:
            yield declared(app.raw, APPLICATION)
        return
    for live in home.api.list(APPLICATION, namespace):
        yield declared(live.body or {}, APPLICATION)


def declared(body: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """What of an object somebody declared: nothing that a server or an engine has added. Pure."""
    metadata = body.get("metadata") or {}
    kept: dict[str, Any] = {"name": metadata.get("name")}
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in _REMEMBERED}
    for field, value in (
        ("labels", metadata.get("labels")),
        ("annotations", annotations),
        ("finalizers", metadata.get("finalizers")),
    ):
        if value:
            kept[field] = value
    content = {name: body[name] for name in _CONTENT[kind.kind] if name in body}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": kept, **content}


def _read(file: str, namespace: str) -> Iterator[dict[str, Any]]:
    """The objects of the file, checked. Raises Refused naming the line of the first that cannot be taken."""
    from workers.render.yaml_reader import read_documents

    name = "stdin" if file == "-" else file
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror or error}") from error
    documents, warnings = read_documents(data, name)
    for warning in warnings:
        complain(f"warning: {warning}")
    for document in documents:
        yield _checked(document.body, f"{name}:{document.line}", namespace)


def _checked(body: dict[str, Any], where: str, namespace: str) -> dict[str, Any]:
    kind = body.get("kind")
    placed = {**body, "metadata": {**_mapping(body.get("metadata"), where), "namespace": namespace}}
    match kind:
        case "Application":
            Application.parse(placed)
            return declared(placed, APPLICATION)
        case "AppProject":
            AppProject.parse(placed)
            return declared(placed, PROJECT)
        case "Secret" if _mapping(placed["metadata"].get("labels"), where).get(SECRET_TYPE) in _REPO_TYPES:
            if not placed["metadata"].get("name"):
                raise Refused("the Secret has no name", where=where)
            return declared(placed, SECRET)
    raise Refused(
        f"kind {kind} is not imported: only AppProjects, Applications and Secrets of repositories are",
        where=where,
    )


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise Refused("metadata is not that of an object", where=where)
    return dict(value or {})


def _put(home: Home, body: dict[str, Any], dry_run: bool) -> str:
    """Writes one object; created, updated or unchanged."""
    kind = {"Application": APPLICATION, "AppProject": PROJECT, "Secret": SECRET}[body["kind"]]
    namespace, name = home.settings.namespace, body["metadata"]["name"]
    wanted = {**body, "metadata": {**body["metadata"], "namespace": namespace}}
    live = home.api.get(kind, namespace, name)
    if live is None or live.body is None:
        home.api.create(kind, wanted, dry_run=dry_run, validation="Ignore")
        return "created"
    before = without_nulls(declared(live.body, kind))
    patch = mergepatch.difference(before, without_nulls(body))
    # What the file does not name of labels and annotations is somebody else's.
    metadata = {
        field: {key: value for key, value in change.items() if value is not None}
        for field, change in (patch.pop("metadata", None) or {}).items()
        if isinstance(change, dict)
    }
    metadata = {field: change for field, change in metadata.items() if change}
    if body["metadata"].get("finalizers") not in (None, before["metadata"].get("finalizers")):
        metadata["finalizers"] = body["metadata"]["finalizers"]
    if not patch and not metadata:
        return "unchanged"
    guard = {"uid": live.uid, "resourceVersion": live.resource_version}
    change = {**patch, "metadata": {**metadata, **guard}}
    home.api.patch(kind, namespace, name, change, dry_run=dry_run, validation="Ignore")
    return "updated"

"""`mooring app create`"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click

from cli import show
from cli.app.flags import applied, part, spec_options
from cli.app.get import print_apps
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from mooring.errors import Refused
from mooring.keys import IN_CLUSTER
from mooring.model.application import Application, unknown_fields
from mooring.names import STATE
from mooring.settings import Settings
from workers import mergepatch
from workers.mergepatch import without_nulls


@click.command(cls=Verb)
@home_options
@click.argument("name", required=False)
@click.option("-f", "--file", "file", metavar="FILE", help="An Application manifest; `-` is stdin.")
@spec_options
@click.option("--label", "-l", "labels", multiple=True, metavar="KEY=VALUE", help="Label of the Application.")
@click.option("--annotations", "annotations", multiple=True, metavar="KEY=VALUE", help="Annotation of it.")
@click.option("--upsert", is_flag=True, help="Change it when it is there and differs.")
@show.output_option
def create(
    settings: Settings,
    name: str | None,
    file: str | None,
    upsert: bool,
    output: str | None,
    **given: Any,
) -> None:
    """Create an Application from flags, or from a manifest with flags on top.

    With --upsert, one that is there gets the spec of the manifest and its finalizers, where it has any;
    labels and annotations that the manifest does not name stay.
    """
    if settings.apps_dir:
        raise Refused(f"the Applications are files in {settings.apps_dir}: write the file there")
    body = merged(_read(file) if file else {}, name, given)
    app = Application.parse(body, namespace=settings.namespace)
    for path in unknown_fields(app):
        click.echo(f"warning: {path} is no field of an Application: is it misspelt?", err=True)
    if app.key.namespace != settings.namespace:
        raise Refused(
            f"the manifest's namespace is {app.key.namespace}, Applications live in {settings.namespace}: "
            "change it, or give -N"
        )
    body["metadata"]["namespace"] = app.key.namespace
    home = connect(settings)
    done = _write(home, app, body, upsert)
    if output is None:
        click.echo(f"application {app.key.namespace}/{app.key.name} {done}")
    elif found := home.applications.get(app.key):
        print_apps(home, [found], output, several=False)


def merged(body: dict[str, Any], name: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The manifest `body` with the flags on top. Raises click.UsageError when something is missing. Pure."""
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **body}
    body.pop("status", None)
    body.pop("operation", None)
    metadata = body["metadata"] = part(body, "metadata")
    if name and metadata.get("name") not in (None, name):
        raise click.UsageError(f"the manifest's name is {metadata['name']}, not {name}")
    metadata.setdefault("name", name)
    if not metadata["name"]:
        raise click.UsageError("give a NAME, or a manifest with -f")
    for field, texts in (("labels", given["labels"]), ("annotations", given["annotations"])):
        # What another Mooring remembered of it is no part of what it is.
        known = {key: text for key, text in part(metadata, field).items() if key != STATE}
        if known := {**known, **pairs(texts, f"--{field.removesuffix('s')}")}:
            metadata[field] = known
        else:
            metadata.pop(field, None)
    spec = body["spec"] = applied(part(body, "spec"), given)
    spec["project"] = spec.get("project") or "default"
    if not spec["destination"].get("server") and not spec["destination"].get("name"):
        spec["destination"]["server"] = IN_CLUSTER
    if not spec.get("sources") and not spec.get("sourceHydrator") and not part(spec, "source").get("repoURL"):
        raise click.UsageError("give the repository with --repo, or a manifest with -f")
    return body


def pairs(texts: Sequence[str], flag: str) -> dict[str, str]:
    """What `KEY=VALUE` flags say. Raises BadParameter naming the one that does not."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint=flag)
        found[key] = value
    return found


def _read(file: str) -> dict[str, Any]:
    from workers.render.yaml_reader import read_documents

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror or error}") from error
    documents, warnings = read_documents(data, "stdin" if file == "-" else file)
    for warning in warnings:
        click.echo(f"warning: {show.one_line(warning)}", err=True)
    if len(documents) != 1:
        raise Refused(f"{file} must hold one Application, it holds {len(documents)} documents")
    return documents[0].body


def _write(
    home: Home, app: Application, body: dict[str, Any], upsert: bool
) -> Literal["created", "unchanged", "updated"]:
    from workers.apps.home import APPLICATION
    from workers.cluster.api import MERGE_PATCH

    live = home.api.get(APPLICATION, app.key.namespace, app.key.name)
    if live is None or live.body is None:
        home.api.create(APPLICATION, body, validation="Ignore")
        return "created"
    change = difference(live.body, body)
    if not change:
        return "unchanged"
    if not upsert:
        raise Refused(f"Application {app.key.namespace}/{app.key.name} exists and differs: give --upsert")
    guard = {"uid": live.uid, "resourceVersion": live.resource_version}
    patch = {**change, "metadata": {**change.get("metadata", {}), **guard}}
    home.api.patch(APPLICATION, app.key.namespace, app.key.name, patch, MERGE_PATCH, validation="Ignore")
    return "updated"


def difference(live: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The merge patch by which `live` gets what `wanted` says; empty when it has it. Pure.

    The spec becomes the wanted one; of labels and annotations those that are named are set; finalizers
    become those wanted where some are named.
    """
    metadata: dict[str, Any] = {}
    for field in ("labels", "annotations"):
        there = live["metadata"].get(field) or {}
        said = wanted["metadata"].get(field) or {}
        if changed := {key: text for key, text in said.items() if there.get(key) != text}:
            metadata[field] = changed
    finalizers = wanted["metadata"].get("finalizers")
    if finalizers is not None and finalizers != (live["metadata"].get("finalizers") or []):
        metadata["finalizers"] = finalizers
    patch: dict[str, Any] = {"metadata": metadata} if metadata else {}
    if spec := mergepatch.difference(without_nulls(live["spec"]), without_nulls(wanted["spec"])):
        patch["spec"] = spec
    return patch

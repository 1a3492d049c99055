"""`mooring app create`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import click
import yaml

from cli.home import Home, connect, home_options
from mooring.errors import Refused
from mooring.keys import IN_CLUSTER
from mooring.model.application import Application, unknown_fields
from mooring.settings import Settings


@click.command()
@home_options
@click.argument("name", required=False)
@click.option("-f", "--file", "file", metavar="FILE", help="An Application manifest; `-` is stdin.")
@click.option("--repo", metavar="URL", help="Repository.")
@click.option("--path", metavar="PATH", help="Directory in the repository.")
@click.option("--revision", metavar="REV", help="Branch, tag, commit or range of versions; default HEAD.")
@click.option("--dest-server", metavar="URL", help=f"API server of the destination; default {IN_CLUSTER}.")
@click.option("--dest-name", metavar="NAME", help="The destination by name.")
@click.option("--dest-namespace", metavar="NAME", help="Namespace of objects that name none.")
@click.option("--project", metavar="NAME", help="Project; default `default`.")
@click.option(
    "--sync-policy", type=click.Choice(("auto", "automated", "none", "manual")), help="Who starts syncs."
)
@click.option("--auto-prune", is_flag=True, help="Automated syncs delete what has left Git.")
@click.option("--self-heal", is_flag=True, help="Undo what others change in the cluster.")
@click.option("--allow-empty", is_flag=True, help="Automated syncs may delete everything.")
@click.option(
    "--sync-option", "options", multiple=True, metavar="NAME=VALUE", help="e.g. CreateNamespace=true"
)
@click.option("--directory-recurse", is_flag=True, help="Read sub-directories too.")
@click.option("--label", "-l", "labels", multiple=True, metavar="KEY=VALUE", help="Label of the Application.")
@click.option("--upsert", is_flag=True, help="Change it when it is there and differs.")
def create(
    settings: Settings,
    name: str | None,
    file: str | None,
    upsert: bool,
    **given: Any,
) -> None:
    """Create an Application from flags, or from a manifest with flags on top."""
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
    done = _write(connect(settings), app, body, upsert)
    click.echo(f"application {app.key.namespace}/{app.key.name} {done}")


def merged(body: dict[str, Any], name: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The manifest `body` with the flags on top. Raises click.UsageError when something is missing. Pure."""
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **body}
    body.pop("status", None)
    body.pop("operation", None)
    metadata = body["metadata"] = dict(body.get("metadata") or {})
    if name and metadata.get("name") not in (None, name):
        raise click.UsageError(f"the manifest's name is {metadata['name']}, not {name}")
    metadata.setdefault("name", name)
    if not metadata["name"]:
        raise click.UsageError("give a NAME, or a manifest with -f")
    if labels := [label.partition("=") for label in given["labels"]]:
        metadata["labels"] = {**(metadata.get("labels") or {}), **{k: v for k, _, v in labels}}
    spec = body["spec"] = dict(body.get("spec") or {})
    spec["project"] = given["project"] or spec.get("project") or "default"
    destination = spec["destination"] = dict(spec.get("destination") or {})
    _set(destination, server=given["dest_server"], name=given["dest_name"], namespace=given["dest_namespace"])
    if not destination.get("server") and not destination.get("name"):
        destination["server"] = IN_CLUSTER
    if "sources" not in spec:
        source = spec["source"] = dict(spec.get("source") or {})
        _set(source, repoURL=given["repo"], path=given["path"], targetRevision=given["revision"])
        if given["directory_recurse"]:
            source["directory"] = {**(source.get("directory") or {}), "recurse": True}
        if not source.get("repoURL"):
            raise click.UsageError("give the repository with --repo, or a manifest with -f")
    policy = _policy(dict(spec.get("syncPolicy") or {}), given)
    if policy:
        spec["syncPolicy"] = policy
    return body


def _policy(policy: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    if given["sync_policy"] in ("auto", "automated"):
        policy["automated"] = dict(policy.get("automated") or {})
    elif given["sync_policy"]:
        policy.pop("automated", None)
    flags = {"prune": given["auto_prune"], "selfHeal": given["self_heal"], "allowEmpty": given["allow_empty"]}
    if chosen := {flag: True for flag, on in flags.items() if on}:
        if "automated" not in policy:
            raise click.UsageError("--auto-prune, --self-heal and --allow-empty need --sync-policy auto")
        policy["automated"] = {**policy["automated"], **chosen}
    if given["options"]:
        known = [option for option in policy.get("syncOptions") or () if option not in given["options"]]
        policy["syncOptions"] = [*known, *given["options"]]
    return policy


def _set(part: dict[str, Any], **values: str | None) -> None:
    part.update({key: value for key, value in values.items() if value})


def _read(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        documents = [each for each in yaml.safe_load_all(text) if each is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{file} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise Refused(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Refused(f"{file} must hold one Application, it holds {len(documents)} documents")
    return documents[0]


def _write(
    home: Home, app: Application, body: dict[str, Any], upsert: bool
) -> Literal["created", "unchanged", "updated"]:
    from workers.apps.home import APPLICATION
    from workers.cluster.api import MERGE_PATCH

    live = home.api.get(APPLICATION, app.key.namespace, app.key.name)
    if live is None or live.body is None:
        home.api.create(APPLICATION, body, validation="Ignore")
        return "created"
    labels = {**live.labels, **(body["metadata"].get("labels") or {})}
    if live.body["spec"] == body["spec"] and labels == dict(live.labels):
        return "unchanged"
    if not upsert:
        raise Refused(f"Application {app.key.namespace}/{app.key.name} exists and differs: give --upsert")
    metadata = {"uid": live.uid, "resourceVersion": live.resource_version, "labels": labels}
    patch = {"metadata": metadata, "spec": _replacing(live.body["spec"], body["spec"])}
    home.api.patch(APPLICATION, app.key.namespace, app.key.name, patch, MERGE_PATCH, validation="Ignore")
    return "updated"


def _replacing(live: Any, wanted: Any) -> Any:
    """A merge patch that makes `live` exactly `wanted`."""
    if not isinstance(live, dict) or not isinstance(wanted, dict):
        return wanted
    gone = {key: None for key in live if key not in wanted}
    return {**{key: _replacing(live.get(key), value) for key, value in wanted.items()}, **gone}

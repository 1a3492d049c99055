"""The flags that say what an Application is, shared by `create` and `set`; names are those of argocd."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final, TypeVar

import click

from mooring.errors import Refused
from mooring.keys import IN_CLUSTER

Command = TypeVar("Command", bound=Callable[..., Any])
Given = Mapping[str, Any]  # what click makes of the options below; None, () where one is not given

# As argocd fills them in where a limit of retries is given and nothing else.
_BACKOFF: Final = {"duration": "5s", "factor": 2, "maxDuration": "3m0s"}

_OPTIONS: Final = (
    click.option("--repo", metavar="URL", help="Repository."),
    click.option("--path", metavar="PATH", help="Directory in the repository."),
    click.option("--revision", metavar="REV", help="Branch, tag, commit or range of versions; default HEAD."),
    click.option(
        "--revision-history-limit",
        type=click.IntRange(0),
        metavar="N",
        help="Length of history; default 10.",
    ),
    click.option(
        "--dest-server", metavar="URL", help=f"API server of the destination; default {IN_CLUSTER}."
    ),
    click.option("--dest-name", metavar="NAME", help="The destination by name."),
    click.option("--dest-namespace", metavar="NAME", help="Namespace of objects that name none."),
    click.option("--project", metavar="NAME", help="Project; default `default`."),
    click.option(
        "--sync-policy",
        type=click.Choice(("auto", "automated", "automatic", "none", "manual")),
        help="Who starts syncs.",
    ),
    click.option(
        "--auto-prune/--no-auto-prune", default=None, help="Automated syncs delete what has left Git."
    ),
    click.option("--self-heal/--no-self-heal", default=None, help="Undo what others change in the cluster."),
    click.option("--allow-empty/--no-allow-empty", default=None, help="Automated syncs may delete all."),
    click.option(
        "--sync-option",
        "options",
        multiple=True,
        metavar="NAME=VALUE",
        help="e.g. CreateNamespace=true; `!CreateNamespace=true` takes it away.",
    ),
    click.option(
        "--sync-retry-limit", type=int, metavar="N", help="How often a failed sync is tried again; 0: never."
    ),
    click.option("--sync-retry-backoff-duration", metavar="TIME", help="Before the first retry, e.g. 5s."),
    click.option(
        "--sync-retry-backoff-factor", type=int, metavar="N", help="Times longer before each next retry."
    ),
    click.option("--sync-retry-backoff-max-duration", metavar="TIME", help="The longest wait, e.g. 3m."),
    click.option("--directory-recurse/--no-directory-recurse", default=None, help="Sub-directories too."),
    click.option("--directory-include", metavar="GLOB", help="Only files like this, e.g. `{*.yml,*.yaml}`."),
    click.option("--directory-exclude", metavar="GLOB", help="No files like this."),
)


def spec_options(command: Command) -> Command:
    """Adds the flags; the command gets them as keywords, to be handed to `applied`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def applied(before: Mapping[str, Any], given: Given) -> dict[str, Any]:
    """The spec of a manifest with the flags on top. Raises UsageError for flags without a meaning. Pure."""
    spec = deepcopy(dict(before))
    if given["project"]:
        spec["project"] = given["project"]
    if given["revision_history_limit"] is not None:
        spec["revisionHistoryLimit"] = given["revision_history_limit"]
    destination = spec["destination"] = part(spec, "destination")
    if given["dest_server"]:
        destination.pop("name", None)
    if given["dest_name"]:
        destination.pop("server", None)
    _set(destination, server=given["dest_server"], name=given["dest_name"], namespace=given["dest_namespace"])
    if sources := spec.get("sources"):
        spec["sources"] = _sources(sources, given)
    elif (source := _source(part(spec, "source"), given)) != part(spec, "source"):
        spec["source"] = source
    policy = _policy(part(spec, "syncPolicy"), given)
    if policy:
        spec["syncPolicy"] = policy
    else:
        spec.pop("syncPolicy", None)
    return spec


def part(whole: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A copy of the mapping `name` of a manifest; empty where there is none. Raises Refused for another."""
    value = whole.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise Refused(f"{name} of the manifest must be a mapping")
    return dict(value or {})


def _sources(sources: Any, given: Given) -> list[Any]:
    """Those of an Application of several, with the flags on top of the one that --source-position names."""
    if not isinstance(sources, list) or not all(isinstance(source, Mapping) for source in sources):
        raise Refused("spec.sources must be a list of mappings")
    number = given.get("source_position") or 0
    if number > len(sources):
        raise Refused(f"there is no source {number}: the Application has {len(sources)}")
    if not number and _source({}, given):
        raise click.UsageError("the Application has several sources: name one by --source-position")
    return [
        _source(dict(source), given) if position == number else source
        for position, source in enumerate(sources, 1)
    ]


def _source(source: dict[str, Any], given: Given) -> dict[str, Any]:
    _set(source, repoURL=given["repo"], path=given["path"], targetRevision=given["revision"])
    directory = part(source, "directory")
    _set(
        directory,
        recurse=given["directory_recurse"],
        include=given["directory_include"],
        exclude=given["directory_exclude"],
    )
    if directory:
        source["directory"] = directory
    return source


def _policy(policy: dict[str, Any], given: Given) -> dict[str, Any]:
    if given["sync_policy"] in ("auto", "automated", "automatic"):
        policy["automated"] = {
            name: value for name, value in part(policy, "automated").items() if name != "enabled"
        }
    elif given["sync_policy"]:
        policy.pop("automated", None)
    flags = {"prune": given["auto_prune"], "selfHeal": given["self_heal"], "allowEmpty": given["allow_empty"]}
    if chosen := {flag: on for flag, on in flags.items() if on is not None}:
        if "automated" not in policy and any(chosen.values()):
            raise click.UsageError("--auto-prune, --self-heal and --allow-empty need --sync-policy auto")
        if "automated" in policy:
            policy["automated"] = {**part(policy, "automated"), **chosen}
    if given["options"]:
        options = policy.get("syncOptions") or []
        if not isinstance(options, list):
            raise Refused("spec.syncPolicy.syncOptions must be a list")
        for option in given["options"]:
            name = option.removeprefix("!").partition("=")[0]
            options = [one for one in options if str(one).partition("=")[0] != name]
            if not option.startswith("!"):
                options.append(option)
        policy["syncOptions"] = options
    return _retry(policy, given)


def _retry(policy: dict[str, Any], given: Given) -> dict[str, Any]:
    limit = given["sync_retry_limit"]
    if limit == 0:
        policy.pop("retry", None)
        return policy
    backoff: dict[str, Any] = {}
    _set(
        backoff,
        duration=given["sync_retry_backoff_duration"],
        factor=given["sync_retry_backoff_factor"],
        maxDuration=given["sync_retry_backoff_max_duration"],
    )
    if limit is None and not backoff:
        return policy
    retry = part(policy, "retry")
    if limit is None and not retry.get("limit"):
        raise click.UsageError("--sync-retry-backoff-… needs --sync-retry-limit")
    _set(retry, limit=limit)
    retry["backoff"] = {**_BACKOFF, **part(retry, "backoff"), **backoff}
    policy["retry"] = retry
    return policy


def _set(part: dict[str, Any], **values: Any) -> None:
    part.update({key: value for key, value in values.items() if value not in (None, "")})

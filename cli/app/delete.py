"""`mooring app delete`"""

from __future__ import annotations

import time
from typing import Final

import click

from cli import show
from cli.app.follow import Progress
from cli.app.operate import hurry
from cli.app.words import choose
from cli.confirm import confirm
from cli.exits import TimedOut
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from cli.named import apps_argument
from cli.selector import Selector, selector_option
from mooring.errors import Conflict, Refused
from mooring.keys import AppKey
from mooring.model.application import Application
from mooring.model.finalizers import RESOURCES, without_cascade
from mooring.settings import Settings
from workers.apps.conditions import DELETING, DELETION_ERROR, SHARED_RESOURCE

_EVERY_S: Final = 0.25
_TRIES: Final = 5
# As `argocd app delete` writes them.
_FINALIZERS: Final = {"foreground": RESOURCES, "background": f"{RESOURCES}/background"}


@click.command(cls=Verb)
@home_options
@apps_argument
@selector_option
@click.option("--cascade/--no-cascade", default=True, help="With what they deployed (default), or without.")
@click.option(
    "--propagation-policy",
    "-p",
    "policy",
    type=click.Choice(["foreground", "background"]),
    help="How what depends on a deleted object goes: before it (default), or after.",
)
@click.option("--wait", is_flag=True, help="Wait until they are gone.")
@click.option("--timeout", default=0.0, metavar="SECONDS", help="Give up waiting after this long.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@show.output("name")
def delete(
    settings: Settings,
    names: tuple[str, ...],
    selector: Selector | None,
    cascade: bool,
    policy: str | None,
    wait: bool,
    timeout: float,
    yes: bool,
    output: str | None,
) -> None:
    """Delete Applications and what they deployed; with --no-cascade, the Applications alone.

    What is deleted with them goes as Mooring gets to it: `mooring app get` says what that waits for.
    """
    if policy and not cascade:
        raise click.UsageError("--propagation-policy says how objects are deleted: not with --no-cascade")
    if settings.apps_dir:
        raise Refused(f"the Applications are files in {settings.apps_dir}: delete the file")
    home = connect(settings)
    deleted = []
    for app in choose(home, names, selector):
        told = taken(app) if cascade else left(app)
        if not yes:
            title = f"{app.key.namespace}/{app.key.name}"
            confirm(f"Delete Application {title}?" + (f" {told}" if told else ""), err=output is not None)
        _delete(home, app, _FINALIZERS[policy or "foreground"] if cascade else "")
        deleted.append(app.key)
        said = (" is being deleted" if cascade else " deleted") + (f"; {told}" if told else "")
        click.echo(f"{app.key.namespace}/{app.key.name}" + (said if output is None else ""))
    if cascade:
        for key in deleted:
            hurry(settings, key, {"delete": "asked for"})
    if wait:
        since = time.monotonic()
        for key in deleted:
            _wait(home, key, timeout, since)


def taken(app: Application) -> str:
    """What is deleted with the Application, as far as its status tells; "" for nothing. Pure."""
    there = _there(app)
    if not there:
        return ""
    many = f"{there} objects are" if there > 1 else "1 object is"
    return f"{many} deleted with it, but for what is marked to stay"


def left(app: Application) -> str:
    """What the Application leaves behind, as far as its status tells; "" for nothing. Pure."""
    there = _there(app)
    parts = []
    if there and any(condition.type == SHARED_RESOURCE for condition in app.status.conditions):
        # Some are another app's, or wanted by one: how many is not told, and who keeps them neither.
        parts.append("those of its objects that no other app owns stay in the cluster")
    elif there == 1:
        parts.append("1 object stays in the cluster, with nobody to keep it as in Git")
    elif there:
        parts.append(f"{there} objects stay in the cluster, with nobody to keep them as in Git")
    if kept := without_cascade(app.metadata.finalizers):
        parts.append(f"its finalizers keep it until they are taken off: {', '.join(kept)}")
    return "; ".join(parts)


def _there(app: Application) -> int:
    return sum(not item.health or item.health.status != "Missing" for item in app.status.resources)


def _delete(home: Home, app: Application, finalizer: str) -> None:
    """Delete this very Application, with `finalizer`, if any, as the only one that asks for its objects."""
    from workers.apps.home import APPLICATION

    namespace, name = app.key.namespace, app.key.name
    for _ in range(_TRIES):
        live = home.api.get(APPLICATION, namespace, name, metadata_only=True)
        if live is None or live.uid != app.metadata.uid:
            return
        wanted = list(live.finalizers)
        if finalizer not in wanted:
            wanted = [*without_cascade(wanted), *([finalizer] if finalizer else [])]
        if live.deletion_timestamp and finalizer:
            return  # it is too late to ask for anything else
        try:
            if wanted != list(live.finalizers):
                guard = {"uid": live.uid, "resourceVersion": live.resource_version}
                patch = {"metadata": {**guard, "finalizers": wanted}}
                live = home.api.patch(APPLICATION, namespace, name, patch, validation="Ignore")
            if not live.deletion_timestamp:
                home.api.delete(APPLICATION, live, "background")
            return
        except Conflict:
            continue  # its status moves while it is being synced
    raise Refused(f"Application {namespace}/{name} keeps changing: try again")


def _wait(home: Home, key: AppKey, timeout_s: float, since: float) -> None:
    """Return once the Application is gone, saying what it waits for. Raises TimedOut."""
    begun = time.monotonic()
    with Progress(f"deletion of {key.name}") as progress:
        while (app := home.applications.get(key)) is not None:
            told = [c.message for c in app.status.conditions if c.type in (DELETING, DELETION_ERROR)]
            progress.say("; ".join(told) or "not taken up yet")
            if timeout_s and time.monotonic() - since > timeout_s:
                raise TimedOut(f"{key.namespace}/{key.name} is not gone after {timeout_s:g} s: {told[0]}")
            progress.waited(time.monotonic() - begun)
            time.sleep(_EVERY_S)

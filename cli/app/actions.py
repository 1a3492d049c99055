"""`mooring app actions`"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from cli import show
from cli.app.operate import user
from cli.app.words import find
from cli.exits import FAILED, TimedOut, complain, exit_code, fail
from cli.gostyle import Verb
from cli.home import Home, connect, home_options_of_objects, redis_client, redis_url
from cli.named import app_argument
from mooring.errors import MooringError
from mooring.model.application import Application
from mooring.names import TASK_ACTION
from mooring.settings import Settings
from mooring.store.outcomes import Outcomes

if TYPE_CHECKING:
    from workers.actions.action import Action
    from workers.actions.asked import Asked
    from workers.cluster.live import Live

_EVERY_S = 0.1
_NAMES = ("GROUP", "KIND", "NAMESPACE", "NAME", "ACTION", "DISABLED", "PARAMETERS")


@click.group()
def actions() -> None:
    """What objects of an Application offer to be done to them: restart, scale, pause, and scripts of your
    own."""


def _of_objects(command: Any) -> Any:
    options: tuple[Callable[[Any], Any], ...] = (
        click.option("--group", metavar="GROUP", help="Group of the objects."),
        click.option("--namespace", default="", metavar="NAMESPACE", help="Namespace of the objects."),
        click.option("--resource-name", default="", metavar="NAME", help="Name of the object."),
    )
    for option in options:
        command = option(command)
    return command


@actions.command("list", cls=Verb)
@home_options_of_objects
@app_argument
@_of_objects
@click.option("--kind", default="", metavar="KIND", help="Kind of the objects.")
@show.output("json", "yaml")
def list_(
    settings: Settings,
    name: str,
    kind: str,
    resource_name: str,
    namespace: str,
    group: str | None,
    output: str | None,
) -> None:
    """List the actions of an Application's objects as these are now."""
    from workers.actions.asked import Asked

    home = connect(settings)
    app = find(home, name)
    asked = Asked("", kind, group, namespace, resource_name)
    rows: list[tuple[Live, Action]] = []
    failures: list[MooringError] = []
    with _catalogue(home) as available:
        for live in _objects(home, app, asked):
            try:
                rows += [(live, action) for action in available(live)]
            except MooringError as error:
                failures.append(error)
    if output is not None:
        show.structured([_told(live, action) for live, action in rows], output)
    elif rows:
        show.columns(_NAMES, (_row(live, action) for live, action in rows))
    for failure in failures[:-1]:
        complain(str(failure))
    if failures:
        fail(str(failures[-1]), exit_code(failures[-1]))


@actions.command("run", cls=Verb)
@home_options_of_objects
@app_argument
@click.argument("action")
@_of_objects
@click.option("--kind", required=True, metavar="KIND", help="Kind of the objects.")
@click.option("--all", "everything", is_flag=True, help="On each that fits, where there are several.")
@click.option("--param", "parameters", multiple=True, metavar="NAME=VALUE", help="What the action asks for.")
@click.option(
    "--timeout", default=60.0, show_default=True, metavar="SECONDS", help="Begin it within this, or not."
)
def run(
    settings: Settings,
    name: str,
    action: str,
    kind: str,
    resource_name: str,
    namespace: str,
    group: str | None,
    everything: bool,
    parameters: tuple[str, ...],
    timeout: float,
) -> None:
    """Run an action on an object of an Application, or with --all on several. The workers do it.

    It is run on what the app has deployed; by name, also on what controllers have made of that, as the Jobs
    of a CronJob.
    """
    from workers.celery_app import ask, make

    app = find(connect(settings), name)
    asked: dict[str, Any] = {
        "kind": kind,
        "group": group,
        "namespace": namespace,
        "resource_name": resource_name,
        "all": everything,
        "parameters": dict(map(_parameter, parameters)),
        "by": user(),
    }
    outcomes = Outcomes(redis_client(settings))
    celery = make("mooring-cli", redis_url(settings))
    id = ask(celery, TASK_ACTION, [app.key.title, action], asked, timeout)
    deadline = time.monotonic() + timeout
    while (outcome := outcomes.of(id)) is None:
        if timeout and time.monotonic() > deadline:
            raise TimedOut(
                f"action {action} of {app.key.name}: no word of it after {timeout:g} s; look at the object: "
                "is `mooring up` (or worker) running?"
            )
        time.sleep(_EVERY_S)
    for title, what in outcome.done.items():
        click.echo(f"{title}: {action}: {show.one_line(what)}")
    failures = [f"{title}: {why}" for title, why in outcome.failed.items()]
    failures += [outcome.error] if outcome.error else []
    for failure in failures[:-1]:
        complain(failure)
    if failures:
        fail(failures[-1], FAILED)


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    return name, value


@contextlib.contextmanager
def _catalogue(home: Home) -> Iterator[Callable[[Live], tuple[Action, ...]]]:
    from workers.actions.catalogue import Actions
    from workers.scripts.sandbox import Sandbox

    sandbox = Sandbox(home.settings)
    try:
        found = Actions(home.applications.config, sandbox)
        yield lambda live: found.available(live.body or {})
    finally:
        sandbox.close()


def _objects(home: Home, app: Application, asked: Asked) -> Iterator[Live]:
    """What the app has by its status and is there, of the kind and name that are asked for."""
    from mooring.keys import ObjectKey

    api = home.there(app)
    for one in app.status.resources:
        key = ObjectKey(one.group, one.kind, one.namespace, one.name)
        if (key.group, key.kind) == ("", "Secret") or not asked.fits(key):
            continue
        kind = api.discovery.preferred(key.group, key.kind)
        live = api.get(kind, key.namespace, key.name) if kind is not None else None
        if live is not None:
            yield live


def _row(live: Live, action: Action) -> tuple[str, ...]:
    key, disabled = live.key, "true" if action.disabled else "false"
    parameters = (f"{one.name}={one.default}" if one.default else one.name for one in action.parameters)
    return (key.group, key.kind, key.namespace, key.name, action.name, disabled, ", ".join(parameters))


def _told(live: Live, action: Action) -> dict[str, Any]:
    return {
        "group": live.key.group,
        "kind": live.key.kind,
        "namespace": live.key.namespace,
        "name": live.key.name,
        "action": action.name,
        "disabled": action.disabled,
        "displayName": action.display_name,
        "iconClass": action.icon_class,
        "params": [{"name": one.name, "default": one.default} for one in action.parameters],
    }

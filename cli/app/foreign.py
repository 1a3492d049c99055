"""`mooring app foreign`"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cli import show
from cli.app.words import find
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from cli.named import app_argument
from mooring.model.application import Application
from mooring.settings import Settings

if TYPE_CHECKING:
    from mooring.keys import ObjectKey
    from workers.foreign import Foreign


@click.command(cls=Verb)
@home_options
@app_argument
@show.output("name", "json", "yaml")
def foreign(settings: Settings, name: str, output: str | None) -> None:
    """List the fields of an Application's objects that others have set, not Git, and who.

    Managers are called what they call themselves. Status, what is scaled, and what Kubernetes itself writes
    are left out. With the compare option ForeignFields=drift, on the Application or on an object, they are
    drift, and a sync takes them off.
    """
    home = connect(settings)
    found = list(_foreign(home, find(home, name)))
    match output:
        case "json" | "yaml":
            show.structured([_as_json(key, one) for key, one in found], output)
        case "name":
            for title in dict.fromkeys(key.title for key, _ in found):
                click.echo(title)
        case _:
            rows = [
                (k.group, k.kind, k.namespace, k.name, one.field, one.manager, one.time) for k, one in found
            ]
            show.columns(("GROUP", "KIND", "NAMESPACE", "NAME", "FIELD", "MANAGER", "SINCE"), rows)


def _foreign(home: Home, app: Application) -> Iterator[tuple[ObjectKey, Foreign]]:
    """The foreign fields of what the app's status names, by one LIST a kind."""
    from mooring.names import APPLYSET_PART_OF
    from workers.applyset.parent import Parent
    from workers.foreign import foreign as fields_of
    from workers.installation import find as find_installation

    installation = find_installation(home.api, home.settings.namespace)
    if installation is None:
        return
    api = home.there(app)
    applyset = Parent(app.key, installation.id, home.settings.namespace).applyset
    keys = {item.key for item in app.status.resources if not item.hook}
    namespaces: dict[tuple[str, str], set[str]] = {}
    for item in app.status.resources:
        namespaces.setdefault((item.api_version, item.kind), set()).add(item.namespace)
    for (version, kind_name), spread in sorted(namespaces.items()):
        kind = api.discovery.find(version, kind_name)
        if kind is None:
            continue  # its definition is gone, and its objects with it
        namespace = next(iter(spread)) if len(spread) == 1 else ""
        lives = api.list(kind, namespace, f"{APPLYSET_PART_OF}={applyset}")
        for live in sorted(lives, key=lambda live: live.key):
            yield from ((live.key, one) for one in fields_of(live) if live.key in keys)


def _as_json(key: ObjectKey, one: Foreign) -> dict[str, object]:
    return {
        "group": key.group,
        "kind": key.kind,
        "namespace": key.namespace,
        "name": key.name,
        "field": one.field,
        "manager": one.manager,
        "operation": one.operation,
        "time": one.time,
    }

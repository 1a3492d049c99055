"""`mooring cluster`: where Applications can be deployed to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from cli import show
from cli.gostyle import Verb
from cli.home import Home, connect, home_options, redis_client
from mooring.errors import MooringError
from mooring.keys import IN_CLUSTER
from mooring.settings import Settings

if TYPE_CHECKING:
    from mooring.store.connections import Connection


@dataclass(frozen=True, slots=True)
class Destination:
    """A cluster as `spec.destination` names it. `status` is Successful, Failed, or Unknown while nobody has
    asked it, as Argo CD has it."""

    server: str
    name: str
    version: str
    status: str
    message: str


@click.group()
def cluster() -> None:
    """Clusters: where Applications can be deployed to."""


@cluster.command("list", cls=Verb, short_help="List the clusters that are known.")
@home_options
@show.output("wide", "server", "name", "json", "yaml")
def list_(settings: Settings, output: str | None) -> None:
    """List the clusters: the one that has the Applications, and those of Argo CD's Secrets, with how each was
    when it was last asked."""
    found = destinations(connect(settings))
    match output:
        case "json" | "yaml":
            show.structured([asdict(one) for one in found], output)
        case "server":
            for one in found:
                click.echo(one.server)
        case "name":
            for one in found:
                click.echo(one.name)
        case _:
            rows = [(one.server, one.name, one.version, one.status, one.message) for one in found]
            show.columns(("SERVER", "NAME", "VERSION", "STATUS", "MESSAGE"), rows)


def destinations(home: Home) -> list[Destination]:
    """The home cluster first. Raises ClusterRefused when Secrets may not be read."""
    from mooring.store.connections import Connections

    version = home.api.discovery.server_version
    at = "" if home.server == IN_CLUSTER else f"at {home.server}"
    found = [Destination(IN_CLUSTER, "in-cluster", version, "Successful", at)]
    known: Mapping[str, Connection] = {}
    unasked = ""
    try:
        known = Connections(redis_client(home.settings)).all()
    except MooringError as error:
        unasked = f"what workers know of it cannot be read: {error}"
    for secret in home.applications.clusters():
        if secret.server in (IN_CLUSTER, home.server):
            continue
        name, last = secret.name or secret.secret, known.get(secret.server)
        if secret.wrong:
            found.append(Destination(secret.server, name, "", "Failed", secret.wrong))
        elif last is None or last.secret != secret.version:
            why = unasked or "no application was deployed to it yet"
            found.append(Destination(secret.server, name, "", "Unknown", why))
        else:
            found.append(Destination(secret.server, name, last.version, last.status, last.message))
    return found

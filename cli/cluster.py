"""`mooring cluster`: where Applications can be deployed to."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import click

from cli import show
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from mooring.keys import IN_CLUSTER
from mooring.settings import Settings


@dataclass(frozen=True, slots=True)
class Destination:
    """A cluster as `spec.destination` names it. `status` is Successful or Unsupported."""

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
    """List the clusters: the one that Mooring is connected to, and those that Argo CD's Secrets name."""
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
    """The connected cluster first. Raises ClusterRefused when Secrets may not be read."""
    from workers.apps.repositories import decoded
    from workers.git.credentials import SECRET_TYPE
    from workers.installation import SECRET

    version = home.api.discovery.server_version
    at = "" if home.server == IN_CLUSTER else f"at {home.server}"
    found = [Destination(IN_CLUSTER, "in-cluster", version, "Successful", at)]
    for live in home.api.list(SECRET, home.settings.namespace, f"{SECRET_TYPE}=cluster"):
        fields = decoded((live.body or {}).get("data") or {})
        server, name = fields.get("server", ""), fields.get("name", live.key.name)
        if server.rstrip("/") in (IN_CLUSTER, home.server):
            continue
        message = "only the cluster that Mooring is connected to can be deployed to yet"
        found.append(Destination(server, name, "", "Unsupported", message))
    return found

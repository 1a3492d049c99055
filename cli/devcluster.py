"""`mooring devcluster`: the Kubernetes control plane of the demo and the tests, on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from devcluster import build as builder
from devcluster import cluster

# Progress goes to stderr: stdout is what a script reads.
_progress = Console(stderr=True, highlight=False)
_name = click.option(
    "--name",
    default=cluster.DEFAULT,
    show_default=True,
    metavar="NAME",
    help="Which devcluster; they are independent.",
)


@click.group()
def devcluster() -> None:
    """A real Kubernetes control plane on this machine, for the demo and the tests.

    etcd, API server, controllers and scheduler, built from their published Go modules; KWOK plays
    the nodes. It listens on loopback only and runs until `stop`.
    """


@devcluster.command(short_help="Start it, or find it running.")
@_name
def start(name: str) -> None:
    """Start it, or find it running; builds what is missing (minutes, once)."""
    found = cluster.start(name, say=_progress.print)
    click.echo(f"export KUBECONFIG={found.kubeconfig}")


@devcluster.command(short_help="End it; its objects are kept for the next start.")
@_name
@click.option("--delete", is_flag=True, help="Also delete its objects and files.")
def stop(name: str, delete: bool) -> None:
    """End it; the objects in it are kept for the next start unless --delete."""
    ran = cluster.stop(name, delete=delete)
    _progress.print(
        f"devcluster {name}: {'stopped' if ran else 'was not running'}{', deleted' if delete else ''}"
    )


@devcluster.command()
@_name
def status(name: str) -> None:
    """Show what runs. Exit code 0 when it is ready, 1 when not."""
    found = cluster.status(name)
    table = Table("COMPONENT", "PID", "STATE", box=None)
    for component, pid in found.pids.items():
        table.add_row(component, str(pid or ""), "[green]running[/]" if pid else "[red]not running[/]")
    console = Console()
    console.print(table)
    state = "[green]ready[/]" if found.ready else "[red]not ready[/]: `mooring devcluster start` starts it"
    console.print(f"\n{name}: {state}\nlogs: {found.directory}", soft_wrap=True)
    sys.exit(0 if found.ready else 1)


@devcluster.command(short_help="Print the path of its kubeconfig.")
@_name
def kubeconfig(name: str) -> None:
    """Print the path of its kubeconfig: `export KUBECONFIG=$(mooring devcluster kubeconfig)`."""
    click.echo(cluster.find(name).kubeconfig)


@devcluster.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_name
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl(name: str, arguments: tuple[str, ...]) -> None:
    """Run the kubectl of the cluster's own version against it."""
    argv = [*cluster.find(name).kubectl, *arguments]
    os.execv(argv[0], argv)  # noqa: S606 - the binary that we built


@devcluster.command(short_help="Build the programs that are not built yet.")
@click.argument("programs", nargs=-1, type=click.Choice(list(builder.PROGRAMS)))
def build(programs: tuple[str, ...]) -> None:
    """Build the programs (default: those of the control plane) that are not built yet; print their paths."""
    chosen = programs or (builder.CONTROLPLANE.name, builder.KWOK.name)
    paths: list[Path] = [builder.build(builder.PROGRAMS[each], _progress.print) for each in chosen]
    for path in paths:
        click.echo(path)

"""`mooring app`: the Applications, by the names and flags of the `argocd` CLI; one module a verb."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "list": ("cli.app.list:list_", "List Applications."),
    "get": ("cli.app.get:get", "Show one: source, status, objects."),
    "create": ("cli.app.create:create", "Create one, or with --upsert change it."),
    "delete": ("cli.app.delete:delete", "Delete one; its objects stay in the cluster."),
    "sync": ("cli.app.sync:sync", "Bring the cluster to what Git has."),
    "wait": ("cli.app.wait:wait", "Wait until Synced, Healthy, or an operation ended."),
    "diff": ("cli.app.diff:diff", "Show what a sync would change."),
    "manifests": ("cli.app.manifests:manifests", "Print the objects, as in Git or as in the cluster."),
    "history": ("cli.app.history:history", "List what was deployed when."),
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Verbs)
def app() -> None:
    """Applications: straight on the cluster and Redis, like `argocd --core`."""

"""`mooring app`: the Applications, by the names and flags of the `argocd` CLI; one module a verb."""

from __future__ import annotations

import click

from cli.lazy import LazyGroup

COMMANDS = {
    "list": ("cli.app.list:list_", "List Applications."),
    "get": ("cli.app.get:get", "Show one: source, status, objects."),
    "create": ("cli.app.create:create", "Create one, or with --upsert change it."),
    "set": ("cli.app.set:set_", "Change one: source, destination, rules."),
    "delete": ("cli.app.delete:delete", "Delete one, with what it deployed or without."),
    "sync": ("cli.app.sync:sync", "Bring the cluster to what Git has."),
    "wait": ("cli.app.wait:wait", "Wait until Synced, Healthy, or an operation ended."),
    "diff": ("cli.app.diff:diff", "Show what a sync would change."),
    "manifests": ("cli.app.manifests:manifests", "Print the objects, as in Git or as in the cluster."),
    "resources": ("cli.app.resources:resources", "List the objects of one."),
    "tree": ("cli.app.tree:tree", "Show them with what came of them, and how each is."),
    "foreign": ("cli.app.foreign:foreign", "List the fields that others have set, and who."),
    "drift": ("cli.app.drift:drift", "List what has drifted, who did it, and what was done."),
    "reads": ("cli.app.reads:reads", "Show what its last render read of Git."),
    "actions": ("cli.app.actions:actions", "Restart, scale, pause …: what objects offer."),
    "logs": ("cli.app.logs:logs", "Print what its pods say."),
    "refresh": ("cli.app.refresh:refresh", "Compare with Git and the cluster now."),
    "history": ("cli.app.history:history", "List what was deployed when."),
    "rollback": ("cli.app.rollback:rollback", "Sync to what was deployed before."),
    "terminate-op": ("cli.app.terminate:terminate_op", "End the operation that runs or waits."),
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def app() -> None:
    """Applications: straight on the cluster and Redis, like `argocd --core`."""

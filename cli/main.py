"""The `mooring` command: groups of commands, each imported only when it is asked for."""

from __future__ import annotations

import sys
from typing import Any

import click

from cli.exits import INTERRUPTED, exit_code, fail
from cli.lazy import LazyGroup
from mooring.errors import MooringError

COMMANDS = {
    "up": ("cli.up:up", "Run web, workers, beat, observer and Flower as one group."),
    "demo": ("cli.demo:demo", "Show a push being deployed, in a cluster of its own."),
    "app": ("cli.app:app", "Applications: list, get, create, sync, diff, wait …"),
    "delivery": ("cli.delivery:delivery", "Deliveries: what Git hosts told us, and what came of it."),
    "repo": ("cli.repo:repo", "Repositories and the credentials that open them."),
    "project": ("cli.project:project", "Projects: what their Applications may use."),
    "cluster": ("cli.cluster:cluster", "Clusters: where Applications can be deployed to."),
    "admin": ("cli.admin:admin", "Export and import Applications, projects and repositories."),
    "doctor": ("cli.doctor:doctor", "Check everything that Mooring needs, and say what to do."),
    "completion": ("cli.completion:completion", "What bash, zsh or fish need to complete commands."),
    "crds": ("cli.crds:crds", "The kinds Application and AppProject in the home cluster."),
    "web": ("webhook.__main__:web", "Run the web tier alone."),
    "worker": ("cli.up:worker", "Run the workers alone."),
    "beat": ("cli.up:beat", "Run beat, which asks for what is due, alone."),
    "observe": ("cli.up:observe", "Run the observer, which wakes what waits, alone."),
    "flower": ("cli.up:flower", "Run Flower, which shows the tasks, alone."),
    "devcluster": ("cli.devcluster:devcluster", "A real control plane on this machine, for demo and tests."),
}


class _Mooring(LazyGroup):
    """What Mooring refuses or fails at is shown as one line, with an exit code of cli/exits.py."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MooringError as error:
            fail(str(error), exit_code(error))
        except KeyboardInterrupt:
            fail("interrupted", INTERRUPTED)
        except BrokenPipeError:  # `mooring app list | head`
            sys.stdout = None  # nothing is flushed into it at exit
            sys.exit(0)


@click.group(
    cls=_Mooring,
    commands_at=COMMANDS,
    name="mooring",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="mooring", prog_name="mooring")
def main() -> None:
    """Keeps Kubernetes clusters moored to Git."""


if __name__ == "__main__":
    main(prog_name="mooring")

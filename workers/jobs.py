"""From an Application and its checked out sources to what the renderers are given."""

from __future__ import annotations

from functools import cache, partial

from mooring.model.application import Application
from mooring.model.spec import Source
from mooring.settings import Settings
from workers.cluster.capabilities import capabilities
from workers.cluster.kinds import Discovery
from workers.render.files import Files, Tree
from workers.render.source import App, Fetch, Job, Parameters
from workers.render.yaml_reader import DuplicateKeys


def job(
    app: Application,
    source: Source,
    tree: Tree,
    commit: str,
    settings: Settings,
    fetch: Fetch,
    discovery: Discovery,
) -> Job:
    """The render of `source` at `commit`, as `settings` have it; `fetch` gets what else it needs, `discovery`
    is the cluster's that it is for."""
    strict: DuplicateKeys = "error" if settings.yaml_duplicate_keys == "error" else "warn"
    whose = App(
        app.metadata.name, app.metadata.namespace, app.spec.project_name, app.spec.destination.namespace
    )
    return Job(
        app=whose,
        source=source,
        files=Files(tree, commit),
        fetch=fetch,
        parameters=Parameters(
            duplicate_keys=strict,
            capabilities=cache(partial(capabilities, discovery)),
            scratch=settings.state_directory(),
            enable_helm=settings.kustomize_enable_helm,
        ),
    )

"""An Application as Git has it, and as a sync would leave it: rendered and compared here, without writing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cli.home import Home
from mooring.model.application import Application
from workers.applyset import store as parents
from workers.compare import Difference, comparable, compare
from workers.desired import Stamp, desired
from workers.git.mirror import checkout
from workers.installation import ensure
from workers.jobs import job
from workers.observe import observe
from workers.plan import Notice, Permission, plan
from workers.render.render import render
from workers.render.source import Rendered
from workers.viewpoint import viewpoint


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a sync to `commit` would change, and what it would say about it."""

    commit: str
    differences: tuple[Difference, ...]
    notices: tuple[Notice, ...]


def rendered(home: Home, app: Application, revision: str = "") -> tuple[str, Rendered]:
    """The commit, and the manifests of `app` at `revision`, or at what the Application itself names.

    Fetches from Git. Raises what the engine would: GitRefused, GitFailed, RenderFailed, Refused.
    """
    from workers.checkout import open_mirror, source_of
    from workers.fetch import Fetcher

    project = home.applications.project(app.spec.project_name)
    source = source_of(app, project)
    settings = home.settings
    mirror = open_mirror(home.applications, settings, source, app.spec.project_name)
    found = checkout(mirror, revision or source.target_revision or "HEAD", timeout=settings.git_timeout_s)
    fetch = Fetcher(home.applications, settings, project, source, settings.git_timeout_s)
    discovery = home.api.discovery
    return found.commit, render([job(app, source, mirror.tree, found.commit, settings, fetch, discovery)])


def compared(home: Home, app: Application, revision: str = "") -> Comparison:
    """`app` at `revision` compared with the cluster, by dry-runs. Raises as `rendered`, and the cluster's."""
    api = home.api
    installation = ensure(api, home.settings.namespace)
    commit, result = rendered(home, app, revision)
    parent = parents.read(api, home.settings.namespace, app.key, installation)
    wanted, _ = desired(
        result.manifests,
        api.discovery.find,
        app.spec.destination.namespace,
        app.spec.sync_options,
        Stamp(installation.id, app.key, parent.applyset),
    )
    view = viewpoint(home.applications, installation.id, app, parent.applyset)
    with ThreadPoolExecutor(8) as executor:
        observed = observe(
            api, executor, wanted, parent.inventory.entries, api.discovery.preferred, parent.applyset
        )
        # As if somebody asked for pruning: what would stay without that is a difference all the same.
        permission = Permission(prune=True, by_hand=True, approved=True, allow_empty=True)
        found = plan(
            wanted,
            observed,
            parent.inventory,
            {},
            lambda _: "",
            view,
            app.spec.sync_options,
            permission,
        )
        differences = compare(found, api, executor, lambda _: "")
    pruned = [step for group in found.prunes for step in group if step.live is not None]
    gone = [Difference(step.key, _body(home, step.live), None) for step in pruned]
    return Comparison(commit, (*differences.differences, *gone), (*found.notices, *differences.notices))


def _body(home: Home, live: Any) -> dict[str, Any]:
    whole = home.api.get(live.kind, live.key.namespace, live.key.name)
    return comparable(whole.body) if whole is not None and whole.body is not None else {"metadata": {}}

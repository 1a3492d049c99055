"""An Application as Git has it, and as a sync would leave it: rendered and compared here, without writing."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from cli.home import Home
from mooring.errors import ClusterRefused
from mooring.model.annotations import foreign_is_drift
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.spec import Source
from workers.applyset import store as parents
from workers.apps.state import content_digest
from workers.bundles import Bundles
from workers.cluster.live import Live, comparable
from workers.compare import Difference, compare
from workers.desired import Stamp, desired, kinds_of_crds
from workers.hooks.wanted import apart, hooks_of
from workers.ignore.ignored import ignoring
from workers.ignore.known_types import Types
from workers.impersonation import acting_api
from workers.installation import ensure, find
from workers.jobs import inputs_of, jobs
from workers.observe import observe
from workers.plan import Notice, Permission, plan
from workers.render.files import Tree
from workers.render.render import render
from workers.render.source import Drawn, Rendered
from workers.schema.openapi import Schemas
from workers.settled import without_settled
from workers.viewpoint import viewpoint

_ANEW: Final = "each render may give other manifests (drawn passwords), and this is a new one"
_AS_DEPLOYED: Final = (
    "each render may give other manifests (drawn passwords): this is what was deployed, as it is kept"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a sync to these revisions would change, and what it would say about it."""

    pinned: Pinned
    differences: tuple[Difference, ...]
    notices: tuple[Notice, ...]


def rendered(home: Home, app: Application, revisions: Sequence[str] = ()) -> tuple[Pinned, Rendered]:
    """What `app` is at, and its manifests, at `revisions`, one a source, or at those that it names itself.

    Where a render may give something else each time, they are those that were deployed of the very same, as
    far as they are kept and may be read; a warning says which they are. Fetches from the hosts. Raises what
    the engine would: GitRefused, GitFailed, RenderFailed, Refused.
    """
    from workers.checkout import open_origin, sources_of
    from workers.fetch import Fetcher

    project, settings = home.applications.project(app.spec.project_name), home.settings
    wanted = sources_of(app, project)
    found: dict[int, str] = {}
    trees: list[Tree] = []
    for number, source in enumerate(wanted.sources):
        origin = open_origin(home.applications, settings, source, app.spec.project_name)
        asked_for = revisions[number] if revisions else ""
        found[number] = origin.resolve(asked_for or source.target_revision, "", settings.git_timeout_s)
        trees.append(origin.tree(found[number]))
    pinned = wanted.moved(found)

    def fetch(source: Source) -> Fetcher:
        return Fetcher(home.applications, settings, project, source, settings.git_timeout_s)

    renders = jobs(app, pinned, trees, settings, fetch, home.there(app).discovery)
    result = render(renders)
    if result.pure:
        return pinned, result
    try:
        drawn = _kept(home, app, content_digest(app, pinned, inputs_of(renders, result)))
        new = f"{_ANEW}; as this was never deployed, or it is not kept, a sync may give yet another"
    except ClusterRefused as error:
        drawn, new = {}, f"{_ANEW}; whether it is kept as it was deployed cannot be told: {error}"
    warning = _AS_DEPLOYED if result.drawn.keys() <= drawn.keys() else new
    return pinned, replace(result.with_drawn(drawn), warnings=(*result.warnings, warning))


def _kept(home: Home, app: Application, content: str) -> Drawn:
    """What is kept of `content` as it was deployed, or of what was deployed before."""
    installation = find(home.api, home.settings.namespace)
    if installation is None:
        return {}
    bundles = Bundles(home.api, home.settings.namespace, installation)
    return bundles.drawn(app.key, content, home.applications.state(app), bundles.parts(app.key))


def compared(
    home: Home, app: Application, revisions: Sequence[str] = (), *, each: bool = False
) -> Comparison:
    """`app` at `revisions` compared with the cluster: by a dry-run of whatever does not surely equal what is
    there already, or of `each` object. Raises as `rendered`, and the cluster's."""
    there = home.there(app)
    api = acting_api(there, home.applications, app)
    installation = ensure(home.api, home.settings.namespace)
    pinned, result = rendered(home, app, revisions)
    parent = parents.read(there, home.settings.namespace, app.key, installation)
    stay, hooked = apart(result.manifests)
    coming = kinds_of_crds(result.manifests)
    find_kind, namespace, options = api.discovery.find, app.spec.destination.namespace, app.spec.sync_options
    stamping = Stamp(installation.id, app.key, parent.applyset)
    said, types = home.applications.config(), Types(Schemas(), api)
    ignore = ignoring(app.spec.ignore_differences, home.settings, said, types)
    foreign = bool(foreign_is_drift(app.metadata.annotations))
    wanted, _ = desired(stay, find_kind, namespace, options, stamping, ignore, coming, foreign=foreign)
    hooks = hooks_of(hooked, find_kind, coming, namespace, options)
    view = viewpoint(home.applications, installation.id, app, parent.applyset)
    with ThreadPoolExecutor(8) as executor:
        observed = observe(
            api,
            executor,
            wanted,
            parent.inventory.entries,
            api.discovery.preferred,
            parent.applyset,
            whole=True,
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
            {hook.key for hook in hooks},
        )
        differences = compare(found if each else without_settled(found), api, executor, lambda _: "")
    gone = [_deleted(step.live) for group in found.prunes for step in group if step.live is not None]
    notices = (Notice("RenderWarning", text) for text in result.warnings)
    return Comparison(
        pinned, (*differences.differences, *gone), (*notices, *found.notices, *differences.notices)
    )


def _deleted(live: Live) -> Difference:
    return Difference(live.key, comparable(live.body or {"metadata": {}}), None)

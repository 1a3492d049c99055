"""From an Application and its checked out sources to what the renderers are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final

from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.spec import Source
from mooring.settings import Settings
from workers.apps.state import LONGEST
from workers.checkout import is_git
from workers.cluster.capabilities import capabilities
from workers.cluster.kinds import Discovery
from workers.fetch import Fetcher
from workers.render.files import Files, Tree
from workers.render.readset import remember
from workers.render.source import App, Job, Parameters, Rendered
from workers.render.yaml_reader import DuplicateKeys

_REMEMBERED: Final = LONGEST // 2  # characters of what was read: the rest is for quotes and all else


def jobs(
    app: Application,
    pinned: Pinned,
    trees: Sequence[Tree],
    settings: Settings,
    fetch: Callable[[Source], Fetcher],
    discovery: Discovery,
) -> list[Job]:
    """The renders of all sources at their revisions, as `settings` have it.

    `trees` are their files; `fetch` gives what gets whatever else a source needs;
    `discovery` is of the cluster that they are for.
    """
    strict: DuplicateKeys = "error" if settings.yaml_duplicate_keys == "error" else "warn"
    plugins = Path(settings.plugins_dir) if settings.plugins_dir else None
    whose = App(
        app.metadata.name, app.metadata.namespace, app.spec.project_name, app.spec.destination.namespace
    )
    fetches = [fetch(source) for source in pinned.sources]
    files = [
        Files(fetching.whole(tree, revision, source.repo_url) if is_git(source) else tree, revision)
        for tree, (source, revision), fetching in zip(
            trees, zip(pinned.sources, pinned.revisions, strict=True), fetches, strict=True
        )
    ]
    parameters = Parameters(
        duplicate_keys=strict,
        capabilities=cache(partial(capabilities, discovery)),
        scratch=settings.state_directory(),
        enable_helm=settings.kustomize_enable_helm,
        plugins=plugins,
        unconfined=settings.render_unconfined,
    )
    # What one source reads of another's files belongs to that one's read-set: both have the same `Files`.
    refs = {source.ref: of for source, of in zip(pinned.sources, files, strict=True) if source.ref}
    return [
        Job(
            app=whose,
            source=source,
            files=own,
            fetch=fetching,
            parameters=parameters,
            refs=refs,
        )
        for source, own, fetching in zip(pinned.sources, files, fetches, strict=True)
    ]


def inputs_of(jobs: Sequence[Job], rendered: Rendered) -> str:
    """What was read for `rendered`, which was made of `jobs`, to be remembered with the application."""
    return remember(
        [
            one.within(_REMEMBERED // len(jobs), job.files.ids)
            for job, one in zip(jobs, rendered.read_sets, strict=True)
        ]
    )

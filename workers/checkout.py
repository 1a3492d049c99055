"""From an Application to the commit it wants and the tree of that commit."""

from __future__ import annotations

import time

from mooring.errors import GitFailed, Refused, TooSlow
from mooring.model.application import Application
from mooring.model.project import AppProject
from mooring.model.spec import Source
from mooring.repourl import masked
from workers.engine import Engine
from workers.git.credentials import credential_for
from workers.git.mirror import Mirror, checkout


def source_of(app: Application, project: AppProject) -> Source:
    """The app's one source. Raises Refused when it has none or its project does not permit it."""
    source = app.spec.source
    if source is None or not source.repo_url:
        raise Refused("spec.source.repoURL is missing: name a repository", condition="InvalidSpecError")
    if not project.permits_source(source.repo_url):
        raise Refused(
            f"project {project.metadata.name} does not permit the repository {masked(source.repo_url)}: "
            "add it to spec.sourceRepos or move the app",
            condition="InvalidSpecError",
        )
    return source


def mirror_of(engine: Engine, source: Source) -> Mirror:
    """The local mirror of the source's repository, as the app's credential sees it."""
    credential = credential_for(source.repo_url, engine.applications.repo_secrets())
    return Mirror.open(engine.mirrors, source.repo_url, credential, allow_file=engine.settings.git_allow_file)


def resolve(engine: Engine, source: Source, revision: str = "", hint: str = "") -> tuple[Mirror, str]:
    """The mirror, and the commit that the host says `revision` (else the source's) is at; it is fetched.

    Raises GitRefused, GitFailed; TooSlow when only this worker's patience was at its end.
    """
    mirror = mirror_of(engine, source)
    patience = engine.git_patience_s
    wanted = revision or source.target_revision or "HEAD"
    began = time.monotonic()
    try:
        found = checkout(mirror, wanted, hint or None, timeout=patience)
    except GitFailed as error:
        if patience < engine.settings.git_timeout_s and time.monotonic() - began >= patience:
            raise TooSlow(str(error)) from error
        raise
    return mirror, found.commit

"""From an Application to the commit it wants and the tree of that commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from mooring.errors import GitFailed, MooringError, Refused, TooSlow
from mooring.model.application import Application
from mooring.model.project import AppProject
from mooring.model.spec import Source
from mooring.repourl import masked
from mooring.settings import Settings
from workers.apps.store import Applications
from workers.engine import Engine
from workers.git.credentials import Credential, RepoSecret, credential_for
from workers.git.mirror import Limits, Mirror, checkout
from workers.git.remote import endpoint_of

_log = logging.getLogger(__name__)


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


def credential_of(
    applications: Applications,
    settings: Settings,
    source: Source,
    project: str,
    secrets: Sequence[RepoSecret] | None = None,
) -> Credential:
    """What opens the source's repository for an app of `project`, and whom to believe that it is the host.

    `secrets` are looked at in place of those of the home namespace. Raises GitRefused on a URL or Secret
    that cannot be used, Refused on a known_hosts file that cannot be read.
    """
    scheme, keys = endpoint_of(source.repo_url).scheme, ""
    if scheme == "ssh":
        keys = _known_hosts_file(settings.git_known_hosts) + applications.known_hosts()
    return credential_for(
        source.repo_url,
        applications.repo_secrets() if secrets is None else secrets,
        project=project,
        known_hosts=keys,
        authorities=applications.tls_certificates() if scheme == "https" else {},
    )


def mirror_of(engine: Engine, source: Source, project: str) -> Mirror:
    """The local mirror of the source's repository, as the credential of an app of `project` sees it."""
    return open_mirror(engine.applications, engine.settings, source, project)


def home_of(applications: Applications, settings: Settings, source: Source, project: str) -> Path:
    """Where `open_mirror` has the mirror, or would have it; none is made. Raises as `credential_of`."""
    credential = credential_of(applications, settings, source, project)
    return Mirror.home_of(mirrors_dir(settings), source.repo_url, credential)


def open_mirror(applications: Applications, settings: Settings, source: Source, project: str) -> Mirror:
    """The same without an engine, for who only reads."""
    return Mirror.open(
        mirrors_dir(settings),
        source.repo_url,
        credential_of(applications, settings, source, project),
        allow_file=settings.git_allow_file,
        limits=Limits(settings.git_whole_mb << 20, settings.git_max_mb << 20),
    )


def resolve(
    engine: Engine, source: Source, project: str, revision: str = "", hint: str = ""
) -> tuple[Mirror, str]:
    """The mirror, and the commit that the host says `revision` (else the source's) is at; it is fetched.

    Raises GitRefused, GitFailed; TooSlow when only this worker's patience was at its end.
    """
    mirror = mirror_of(engine, source, project)
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


def keep(mirror: Mirror, commit: str) -> None:
    """Keeps a deployed commit for roll-backs, whatever is pushed over it. Never raises: it is a comfort."""
    try:
        mirror.keep(commit)
    except MooringError as error:
        _log.warning("commit %s of %s is not kept: %s", commit, mirror.remote.url, error)


def mirrors_dir(settings: Settings) -> Path:
    """Where the mirrors are. Raises Refused as `Settings.state_directory` does."""
    return settings.state_directory() / "mirrors"


def _known_hosts_file(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text().rstrip("\n") + "\n"
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"MOORING_GIT_KNOWN_HOSTS: {path} cannot be read: {error}") from error

"""From an Application to its sources, each with the origin of its files and the revision that it wants."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mooring.errors import GitFailed, Refused, RemoteFailed, TooSlow
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.project import AppProject
from mooring.model.spec import Source, SyncOperation
from mooring.repourl import is_oci, masked
from mooring.settings import Settings
from workers.apps.store import Applications
from workers.git.credentials import REMOTE, Credential, RepoSecret, credential_for
from workers.git.mirror import Limits, Mirror
from workers.git.remote import endpoint_of
from workers.origin import GitOrigin, Origin, RemoteOrigin

if TYPE_CHECKING:  # a command needs no Redis
    from workers.engine import Engine

_REF: Final = re.compile(r"[A-Za-z0-9_-]+")


def sources_of(app: Application, project: AppProject, sync: SyncOperation | None = None) -> Pinned:
    """What is to be deployed: the app's sources, or those that `sync` names instead, without revisions.

    Raises Refused when there is none, or the project does not permit one or wants it signed and it cannot be,
    or what they are called is not clear.
    """
    if sync is not None and replaces(sync):
        several = bool(sync.sources)
        sources = sync.sources or ((sync.source,) if sync.source else ())
        where = "operation.sync.source"
    else:
        several = bool(app.spec.sources)
        sources = app.spec.all_sources
        where = "spec.source"
    if not sources:
        raise Refused(f"{where}.repoURL is missing: name a repository", condition="InvalidSpecError")
    for number, source in enumerate(sources):
        at = f"{where}s[{number}]" if several else where
        if not source.repo_url:
            raise Refused(f"{at}.repoURL is missing: name a repository", condition="InvalidSpecError")
        if rule := project.why_no_source(source.repo_url):
            raise Refused(
                f"project {project.metadata.name} does not permit the repository {masked(source.repo_url)}: "
                f"{rule}; change the project, or move the app",
                condition="InvalidSpecError",
            )
        if project.spec.signature_keys and not is_git(source):
            raise Refused(
                f"{at}: project {project.metadata.name} deploys only what is signed by one of its "
                "spec.signatureKeys, and only Git's commits and tags have signatures that are checked",
                condition="ComparisonError",
            )
        _check_ref(sources, number, at)
    return Pinned(sources, ("",) * len(sources), several)


def replaces(sync: SyncOperation) -> bool:
    """Whether an operation names sources of its own, as a roll-back may. Argo CD's have an empty one."""
    return bool(sync.sources or (sync.source and sync.source.repo_url))


def _check_ref(sources: Sequence[Source], number: int, at: str) -> None:
    """https://argo-cd.readthedocs.io/en/stable/user-guide/multiple_sources/#helm-value-files-from-external-git-repository"""
    source = sources[number]
    if not source.ref:
        return
    if not _REF.fullmatch(source.ref):
        why = "may have letters, digits, - and _ only"
    elif source.chart:
        why = "a chart's files cannot be named by others: take a Git repository"
    elif any(other.ref == source.ref for other in sources[:number]):
        why = "is the name of an earlier source, too: choose another"
    else:
        return
    raise Refused(f"{at}.ref: {source.ref!r} {why}", condition="InvalidSpecError")


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
        hosts=settings.remote_hosts.replace(",", " ").split(),
    )


def origin_of(engine: Engine, source: Source, project: str) -> Origin:
    """Where the source's files come from, as an app of `project` may have them. Raises as `credential_of`."""
    return open_origin(engine.applications, engine.settings, source, project)


def open_origin(applications: Applications, settings: Settings, source: Source, project: str) -> Origin:
    """The same without an engine."""
    if is_git(source):
        return GitOrigin(open_mirror(applications, settings, source, project))
    secrets, authorities = applications.repo_secrets(), applications.tls_certificates()
    url = source.repo_url
    found = credential_for(url, secrets, project=project, authorities=authorities, types=REMOTE)
    return RemoteOrigin(settings, source, found)


def is_git(source: Source) -> bool:
    """Whether the source is a Git repository's, and no chart's or artifact's."""
    return not source.chart and not is_oci(source.repo_url)


def resolve(engine: Engine, origin: Origin, revision: str, hint: str = "", since: float | None = None) -> str:
    """What the host says that `revision` is now; its files are here after that. What it has said in answer to
    a question asked at `since` (seconds since the epoch) or later, and just now, is as good.

    Raises as `Origin.resolve`, and TooSlow when only this worker's patience was at its end.
    """
    if since is not None:
        known = engine.answers.since(since, origin.place, revision)
        if known and origin.has(known):
            return known
    asked_at = engine.clock()
    with patiently(engine.git_patience_s, engine.settings):
        found = origin.resolve(revision, hint, engine.git_patience_s)
    engine.answers.note(origin.place, revision, found, asked_at)
    if isinstance(origin, RemoteOrigin):
        engine.archives.note(origin.place, found, origin.digest(found))
    return found


@contextlib.contextmanager
def patiently(patience_s: float, settings: Settings) -> Iterator[None]:
    """A host that failed when only this worker's patience was at its end raises TooSlow."""
    began = time.monotonic()
    try:
        yield
    except (GitFailed, RemoteFailed) as error:
        if patience_s < settings.git_timeout_s and time.monotonic() - began >= patience_s:
            raise TooSlow(str(error)) from error
        raise


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

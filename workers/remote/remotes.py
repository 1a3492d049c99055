"""Everything that is fetched from hosts that are no Git hosts, as one object a worker.

A revision is looked up each time (`chart`, `artifact`), for which an index or a manifest is asked for; an
archive comes over the network once and is kept unpacked (`tree`).
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Final

from mooring.errors import RemoteRefused
from mooring.repourl import is_oci as is_oci_url
from mooring.settings import Settings
from workers.git.credentials import Credential
from workers.remote.archive import LINK, Pack, unpack
from workers.remote.charts import Indexes, Release, check_chart
from workers.remote.found import Found
from workers.remote.http import Access, Client, endpoint_of, shown_url
from workers.remote.oci import Artifact, Registries, Repository, is_oci
from workers.remote.store import ArchiveTree, Store

ARCHIVE_LIMIT: Final = 64 << 20  # bytes, packed
FILE_LIMIT: Final = 10 << 20
_REMEMBERED: Final = 256


class Remotes:
    """Chart repositories, registries and single files. Safe to use from several threads.

    A host in a private network is asked only when the caller says `trusted`, which is for a URL that the
    Application itself names and its project permits; or when an operator's Secret names it
    (`Credential.vouched`); or when MOORING_REMOTE_HOSTS does. What a repository or an index names is neither.
    """

    def __init__(self, state_dir: Path, settings: Settings) -> None:
        self._client = Client(settings.remote_hosts.replace(",", " ").split())
        self._indexes = Indexes(self._client)
        self._registries = Registries(self._client)
        self._store = Store(state_dir / "remote")
        self._patience = settings.git_timeout_s
        # What an archive without a digest in its index was when it was last asked for.
        self._digests: OrderedDict[tuple[str, str], tuple[str, str]] = OrderedDict()
        self._lock = threading.Lock()

    def chart(
        self,
        repo_url: str,
        chart: str,
        revision: str,
        credential: Credential,
        *,
        trusted: bool = False,
        pass_credentials: bool = False,
        since: float = math.inf,
    ) -> Found:
        """The chart's version that `revision` means: a version, a range, or "" for the newest release.

        `repo_url` is a chart repository, or a registry (`oci://host/path`, also without the scheme), where
        `chart` is the last part of the path. An index that was asked for `since` (as `time.monotonic` has it)
        is as good as now. Raises RemoteRefused for whatever trying again does not change, RemoteFailed.
        """
        deadline = self._deadline()
        if is_oci(repo_url):
            repository = Repository.parse(f"{repo_url.rstrip('/')}/{chart}", credential.plain_http)
            access = _access(repository, credential, trusted)
            artifact = self._registries.chart(repository, revision, access, deadline)
            return _found_chart(repository, artifact, chart, trusted)
        access = _web(repo_url, credential, trusted, pass_credentials)
        release = self._indexes.release(repo_url, chart, revision, access, deadline, since)
        if is_oci(release.url):  # an index may say that its charts are in a registry
            return self._elsewhere(release, chart, deadline)
        digest = release.digest or self._digest_of(release.url, access, deadline)
        return Found(
            release.version,
            digest,
            release.url,
            repo_url,
            chart=chart,
            top=True,
            trusted=trusted,
            pass_credentials=pass_credentials,
        )

    def artifact(self, url: str, revision: str, credential: Credential, *, trusted: bool = False) -> Found:
        """What `revision` (a tag, a digest, a range, "" for the newest version) of `oci://host/path` means.

        Raises as `chart` does.
        """
        repository = Repository.parse(url, credential.plain_http)
        access = _access(repository, credential, trusted)
        artifact = self._registries.artifact(repository, revision, access, self._deadline())
        return Found(
            artifact.manifest,
            artifact.archive,
            artifact.url,
            str(repository),
            top=artifact.is_chart,
            trusted=trusted,
        )

    def check(self, url: str, credential: Credential) -> None:
        """That the host lets us in: a chart repository gives its index, a registry the tags of `oci://host/path`;
        of `host/path`, below which its charts are, the registry is asked alone.

        Raises RemoteRefused, RemoteFailed.
        """
        deadline = self._deadline()
        if not is_oci(url):
            self._indexes.index(url, _web(url, credential, True, False), deadline)
            return
        whole = is_oci_url(url)
        repository = Repository.parse(url if whole else f"{url.rstrip('/')}/any", credential.plain_http)
        repository = repository if whole else replace(repository, name="")
        self._registries.check(repository, _access(repository, credential, True), deadline)

    def tree(self, found: Found, credential: Credential) -> ArchiveTree:
        """The files of what was found; of a chart, the root is the chart itself.

        Raises RemoteRefused when the archive is not what it is said to be or cannot be used, RemoteFailed.
        """
        if found.anonymous:
            credential = Credential()
        key = _key(found, credential)
        kept = self._store.open(key)
        if kept is not None:
            return kept
        deadline, shown = self._deadline(), shown_url(found.url)
        if is_oci(found.source):
            repository = Repository.parse(found.source, credential.plain_http)
            access = _access(repository, credential, found.trusted)
            data = self._registries.archive(repository, found.url, access, ARCHIVE_LIMIT, deadline)
        else:
            access = _web(found.source, credential, found.trusted, found.pass_credentials)
            data = self._client.get(found.url, access, limit=ARCHIVE_LIMIT, deadline=deadline).body
        digest = hashlib.sha256(data).hexdigest()
        if digest != found.digest:
            raise RemoteRefused(
                f"{shown} has the digest sha256:{digest[:12]}… and not sha256:{found.digest[:12]}… as it is "
                "said to have: it was replaced or damaged, ask the repository's owner"
            )
        return self._store.keep(key, _unpacked(data, found))

    def file(self, url: str, credential: Credential, *, trusted: bool = False) -> tuple[bytes, str]:
        """A single file, and its SHA-256. Raises RemoteRefused, RemoteFailed."""
        access = _web(url, credential, trusted, False)
        data = self._client.get(url, access, limit=FILE_LIMIT, deadline=self._deadline()).body
        return data, hashlib.sha256(data).hexdigest()

    def _elsewhere(self, release: Release, chart: str, deadline: float) -> Found:
        """A chart that an index has in a registry, `oci://host/path:tag`: a stranger's URL."""
        place, _, tag = release.url.rpartition(":")
        repository = Repository.parse(place)
        access = _access(repository, Credential(), False)
        artifact = self._registries.chart(repository, tag.replace("_", "+"), access, deadline)
        if release.digest and release.digest != artifact.archive:
            raise RemoteRefused(f"{repository}:{tag} is not the archive that the index names: ask its owner")
        return replace(_found_chart(repository, artifact, chart, False), anonymous=True)

    def _digest_of(self, url: str, access: Access, deadline: float) -> str:
        """Of an archive whose index has none: it is fetched, or the host is asked whether it changed."""
        key = (url, access.credential.identity)
        with self._lock:
            etag, digest = self._digests.get(key, ("", ""))
        asked = {"If-None-Match": etag} if etag else {}
        expect = (200, 304) if etag else (200,)
        answer = self._client.get(
            url, access, limit=ARCHIVE_LIMIT, deadline=deadline, headers=asked, expect=expect
        )
        if answer.status == 200:
            etag, digest = answer.headers.get("etag", ""), hashlib.sha256(answer.body).hexdigest()
        with self._lock:
            self._digests[key] = (etag, digest)
            self._digests.move_to_end(key)
            while len(self._digests) > _REMEMBERED:
                self._digests.popitem(last=False)
        return digest

    def _deadline(self) -> float:
        return time.monotonic() + self._patience


def _access(repository: Repository, credential: Credential, trusted: bool) -> Access:
    return Access(repository.endpoint, credential, private=trusted or credential.vouched)


def _web(url: str, credential: Credential, trusted: bool, everywhere: bool) -> Access:
    return Access(endpoint_of(url), credential, trusted or credential.vouched, everywhere)


def _found_chart(repository: Repository, artifact: Artifact, chart: str, trusted: bool) -> Found:
    version = artifact.reference.replace("_", "+")
    name = chart.rpartition("/")[2]
    return Found(version, artifact.archive, artifact.url, str(repository), name, top=True, trusted=trusted)


def _key(found: Found, credential: Credential) -> str:
    # Who asks is part of it: a digest that anybody may write into an index of his own must not open what
    # only somebody else's credential fetched.
    return " ".join((found.url, found.digest, found.chart, str(found.top), credential.identity))


def _unpacked(data: bytes, found: Found) -> Pack:
    try:
        pack = unpack(data)
        if found.top:
            pack = pack.without_top()
        if found.chart:
            about = pack.members.get("Chart.yaml")
            if about is None or about.mode == LINK:
                raise RemoteRefused("it is no chart: there is no Chart.yaml")
            check_chart(about.data, found.chart)
    except RemoteRefused as error:
        raise RemoteRefused(f"{shown_url(found.url)} cannot be used: {error}") from error
    return pack

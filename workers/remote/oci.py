"""OCI registries: from a tag, a digest or a range to the one archive of an artifact.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode, urljoin

import orjson

from mooring.errors import RemoteFailed, RemoteRefused
from mooring.text import printable
from workers.git.credentials import Credential
from workers.git.remote import Endpoint
from workers.remote.http import Access, Answer, Client, Url
from workers.remote.semver import Range, Version, newest

CHART: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
# What Argo CD takes by default.
# https://argo-cd.readthedocs.io/en/stable/user-guide/oci/
_ARCHIVES: Final = (
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar",
    CHART,
)
_PROVENANCE: Final = "application/vnd.cncf.helm.chart.provenance.v1.prov"
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFEST_LIMIT: Final = 4 << 20
_TAGS_LIMIT: Final = 4 << 20
_TOKEN_LIMIT: Final = 1 << 20
_MOST_PAGES: Final = 200
_PAGE: Final = 1000
_TOKEN_LASTS: Final = 60.0  # seconds, where nothing else is said
_SPARE: Final = 10.0  # seconds before its end that a token is not used any more
_MOST_PROOFS: Final = 256

_SCHEME: Final = "oci://"
_REPOSITORY: Final = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_PARAMETER: Final = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_NEXT: Final = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?', re.IGNORECASE)
# The registry of Docker Hub has another name than the one that people write.
_ALIASES: Final = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


def is_oci(url: str) -> bool:
    """Whether a repoURL means a registry: `oci://host/path`, or `host/path` as Argo CD's enableOCI has it."""
    return url.startswith(_SCHEME) or ("://" not in url and not re.match(r"[/.~]|[^/]*@", url))


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of a registry; without a name, the registry itself."""

    endpoint: Endpoint  # https, or http where the Secret says so
    name: str

    @classmethod
    def parse(cls, url: str, plain_http: bool = False) -> Repository:
        """`oci://host[:port]/path`, with or without the scheme. Raises RemoteRefused on anything else."""
        host, _, path = url.removeprefix(_SCHEME).partition("/")
        shown = printable(url.rpartition("@")[2])[:300]
        if "@" in host or not host:
            raise RemoteRefused(f"{shown!r} is not a registry: use oci://host/path, and a Secret to log in")
        endpoint = Url.parse(f"{'http' if plain_http else 'https'}://{host}/").endpoint
        name = path.strip("/")
        if not _REPOSITORY.fullmatch(name) or len(name) > 255:
            raise RemoteRefused(
                f"{shown!r} names no repository of a registry: lower case, as oci://host/path"
            )
        return cls(replace(endpoint, host=_ALIASES.get(endpoint.host, endpoint.host)), name)

    @property
    def api(self) -> str:
        at = Url(self.endpoint, f"/v2/{self.name}")
        return str(at)

    def __str__(self) -> str:
        return f"oci://{Url(self.endpoint, '').address}/{self.name}"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a reference is right now: its manifest and the one archive in it."""

    reference: str  # the tag, or the digest
    manifest: str  # digest, `sha256:…`
    archive: str  # digest, 64 hexadecimal digits
    url: str  # of the archive
    is_chart: bool


class Registries:
    """Asks registries. Safe to use from several threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._proofs: dict[tuple[str, str], tuple[str, float]] = {}
        self._lock = threading.Lock()

    def artifact(self, repository: Repository, revision: str, access: Access, deadline: float) -> Artifact:
        """What `revision` means: a digest, a tag, a range of versions, or "" for the newest version.

        Raises RemoteRefused when there is no such, or it is none that can be used; RemoteFailed.
        """
        if not _DIGEST.fullmatch(revision):
            if not revision or (Version.parse(revision) is None and Range.parse(revision) is not None):
                revision = self._newest(repository, revision, access, deadline)
            elif not _TAG.fullmatch(revision):
                raise RemoteRefused(f"{revision[:200]!r} is no tag, digest or range of versions: correct it")
        return self._described(repository, revision, access, deadline)

    def chart(self, repository: Repository, revision: str, access: Access, deadline: float) -> Artifact:
        """The same for a chart, whose tag is its version with `_` for `+`, and where `1.2` is a range.

        https://helm.sh/docs/topics/registries/
        """
        version = Version.parse(revision)
        if version is None or revision.lstrip("v").partition("-")[0].partition("+")[0].count(".") < 2:
            found = self._newest(repository, revision, access, deadline)
        else:
            found = revision.replace("+", "_")
        artifact = self._described(repository, found, access, deadline)
        if not artifact.is_chart:
            raise RemoteRefused(
                f"{repository}:{found} is no Helm chart: leave spec.source.chart out, or correct it"
            )
        return artifact

    def archive(self, repository: Repository, url: str, access: Access, limit: int, deadline: float) -> bytes:
        """The bytes of `Artifact.url`. Raises RemoteRefused, RemoteFailed."""
        return self._get(repository, url, access, limit, deadline, {}).body

    def check(self, repository: Repository, access: Access, deadline: float) -> None:
        """That the registry lets us in, and has the repository. Raises RemoteRefused, RemoteFailed."""
        url = f"{repository.api}/tags/list?n=1" if repository.name else repository.api
        self._get(repository, url, access, _TAGS_LIMIT, deadline, {})

    def _newest(self, repository: Repository, revision: str, access: Access, deadline: float) -> str:
        tags = self._tags(repository, access, deadline)
        versions = {tag.replace("_", "+"): tag for tag in tags}
        try:
            found = newest(versions, revision)
        except ValueError as error:
            raise RemoteRefused(
                f"{repository}: {revision[:200]!r} is no version or range: correct it"
            ) from error
        if found is None:
            raise RemoteRefused(f"{repository} has no version that fits {revision or '*'!r}: correct it")
        return versions[found]

    def _tags(self, repository: Repository, access: Access, deadline: float) -> list[str]:
        url, tags = f"{repository.api}/tags/list?n={_PAGE}", list[str]()
        for _ in range(_MOST_PAGES):
            answer = self._get(repository, url, access, _TAGS_LIMIT, deadline, {})
            page = _json(answer.body, str(repository)).get("tags") or []
            tags += [tag for tag in page if isinstance(tag, str) and _TAG.fullmatch(tag)]
            following = _NEXT.search(answer.headers.get("link", ""))
            if following is None:
                return tags
            url = urljoin(url, following[1])
            if Url.parse(url).endpoint != repository.endpoint:
                raise RemoteRefused(
                    f"{repository} has the rest of its tags at another host: that is not asked"
                )
        raise RemoteRefused(f"{repository} has more than {_MOST_PAGES} pages of tags: name a tag or a digest")

    def _described(self, repository: Repository, reference: str, access: Access, deadline: float) -> Artifact:
        shown = f"{repository}{'@' if ':' in reference else ':'}{reference}"
        answer = self._get(
            repository,
            f"{repository.api}/manifests/{reference}",
            access,
            _MANIFEST_LIMIT,
            deadline,
            {"Accept": ", ".join((*_MANIFESTS, *_INDEXES))},
        )
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        told = answer.headers.get("docker-content-digest", digest)
        if any(name != digest for name in (told, reference) if _DIGEST.fullmatch(name)):
            raise RemoteRefused(f"{shown}: the manifest does not have its digest: ask its owner")
        manifest = _json(answer.body, shown)
        kind = manifest.get("mediaType") or answer.headers.get("content-type", "").partition(";")[0]
        if kind in _INDEXES:
            raise RemoteRefused(f"{shown} is an index of several images: name the digest of one artifact")
        if kind not in _MANIFESTS:
            raise RemoteRefused(f"{shown} has a manifest that is not known: {printable(str(kind))[:100]!r}")
        return _artifact(repository, reference, digest, manifest, shown)

    def _get(
        self,
        repository: Repository,
        url: str,
        access: Access,
        limit: int,
        deadline: float,
        headers: Mapping[str, str],
    ) -> Answer:
        key = (str(repository), access.credential.identity)
        with self._lock:
            proof, until = self._proofs.get(key, ("", 0.0))
        if time.monotonic() >= until:
            proof = ""

        def ask(*expect: int) -> Answer:
            return self._client.get(
                url,
                replace(access, token=proof.partition(" ")[2]),
                limit=limit,
                deadline=deadline,
                headers=headers,
                authorization=proof,
                expect=expect,
            )

        answer = ask(200, 401)
        if answer.status == 200:
            return answer
        challenge = answer.headers.get("www-authenticate", "")
        proof, lasts = self._log_in(repository, challenge, access, deadline)
        with self._lock:
            if len(self._proofs) >= _MOST_PROOFS:
                self._proofs.clear()
            self._proofs[key] = (proof, time.monotonic() + lasts)
        return ask(200)

    def _log_in(
        self, repository: Repository, challenge: str, access: Access, deadline: float
    ) -> tuple[str, float]:
        """What proves to the registry who asks, and for how many seconds.

        https://distribution.github.io/distribution/spec/auth/token/
        """
        bearer = re.search(r"\bbearer\s+(.*)", challenge, re.IGNORECASE)
        if bearer is None:
            if not access.credential.authorization:
                raise RemoteRefused(
                    f"{repository} wants a credential (HTTP 401); add a repository Secret for it"
                )
            return access.credential.authorization, _TOKEN_LASTS
        told = {name.lower(): value for name, value in _PARAMETER.findall(bearer[1])}
        realm = Url.parse(told.get("realm", ""))
        # A registry may name whatever it likes. The credential goes there as it would go to the registry:
        # never in the clear where the registry is not asked so itself, and to no private address but its own.
        if realm.endpoint.scheme != "https" and realm.endpoint != repository.endpoint:
            raise RemoteRefused(
                f"{repository} wants its credential sent in the clear to {realm.address}: refused"
            )
        query = {"scope": f"repository:{repository.name}:pull"} if repository.name else {}
        if told.get("service"):
            query["service"] = told["service"]
        answer = self._client.get(
            f"{realm}{'&' if '?' in realm.target else '?'}{urlencode(query)}",
            Access(
                realm.endpoint,
                _credential_at(realm.endpoint, repository.endpoint, access.credential),
                private=access.private and realm.endpoint == repository.endpoint,
            ),
            limit=_TOKEN_LIMIT,
            deadline=deadline,
        )
        given = _json(answer.body, str(repository))
        token, lasts = given.get("token") or given.get("access_token"), given.get("expires_in")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise RemoteFailed(f"{repository}: {realm.address} gives no token")
        return f"Bearer {token}", (lasts if isinstance(lasts, int) else _TOKEN_LASTS) - _SPARE


def _credential_at(there: Endpoint, registry: Endpoint, credential: Credential) -> Credential:
    """What of a registry's credential is for the host that gives out its tokens: the password, and what
    vouches for the host only where it is the same one."""
    if there == registry:
        return credential
    credential = replace(credential, tls_cert="", tls_key="")
    return credential if there.host == registry.host else replace(credential, authorities="", insecure=False)


def _artifact(
    repository: Repository, reference: str, digest: str, manifest: Mapping[str, Any], shown: str
) -> Artifact:
    layers = manifest.get("layers")
    found = [
        layer
        for layer in (layers if isinstance(layers, list) else [])
        if isinstance(layer, dict) and layer.get("mediaType") != _PROVENANCE
    ]
    if len(found) != 1:
        raise RemoteRefused(f"{shown} has {len(found)} layers: an artifact with one archive can be used")
    kind, archive = found[0].get("mediaType"), found[0].get("digest")
    if kind not in _ARCHIVES:
        raise RemoteRefused(
            f"{shown} holds {printable(str(kind))[:100]!r}: use one of {', '.join(_ARCHIVES)}"
        )
    if not isinstance(archive, str) or not _DIGEST.fullmatch(archive):
        raise RemoteRefused(f"{shown} names its archive by no SHA-256")
    url = f"{repository.api}/blobs/{archive}"
    return Artifact(reference, digest, archive.removeprefix("sha256:"), url, kind == CHART)


def _json(data: bytes, shown: str) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RemoteFailed(f"{shown} answers no JSON: is it a registry?") from error
    if not isinstance(found, dict):
        raise RemoteFailed(f"{shown} answers JSON that is none of a registry's")
    return found

"""Which credential opens which repository, read from the Secrets that Argo CD users already have.

A credential is bound to the endpoint (scheme, host, port) of the Secret that holds it: it is never
given to a repository elsewhere, however alike the rest of the URL is, nor over plain HTTP when the
Secret says https.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

from mooring.errors import GitRefused
from mooring.repourl import same_repository
from workers.git.remote import Endpoint, endpoint_of

# https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#repositories
SECRET_TYPE: Final = "argocd.argoproj.io/secret-type"  # noqa: S105
_UNSUPPORTED: Final = (
    "githubAppID",
    "githubAppInstallationID",
    "githubAppPrivateKey",
    "githubAppEnterpriseBaseUrl",
    "gcpServiceAccountKey",
    "useAzureWorkloadIdentity",
    "proxy",
)


# What a Secret's `type` may be. One of `repo-creds` that has none is for whatever is at its URL.
GIT: Final = frozenset(("git",))
REMOTE: Final = frozenset(("helm", "oci"))  # chart repositories, and registries
_SCHEME: Final = "oci://"


class CredentialKind(StrEnum):
    NONE = "none"
    BASIC = "https-basic"
    BEARER = "https-bearer"
    SSH_KEY = "ssh-key"


@dataclass(frozen=True, slots=True)
class Credential:
    """What opens a repository. Printing one shows its kind and nothing else."""

    kind: CredentialKind = CredentialKind.NONE
    username: str = ""
    secret: str = ""  # password, token or private key (PEM)
    known_hosts: str = ""  # for ssh: the lines a host must match, as in a known_hosts file
    authorities: str = ""  # for https: PEM of the CAs that vouch for the host; empty: the system's
    tls_cert: str = ""  # PEM of a client certificate, and its key
    tls_key: str = ""
    insecure: bool = False  # do not verify the host: the Secret says so
    lfs: bool = False  # what stands for files of Git LFS is replaced by them: the Secret says so
    plain_http: bool = False  # of a registry: it speaks no https
    vouched: bool = False  # a Secret names this very host, so it may be in a private network

    def __repr__(self) -> str:
        return f"Credential({self.kind.value})"

    @property
    def identity(self) -> str:
        """32 hex digits that are the same for equal credentials and do not reveal them."""
        return _identity(self)

    @property
    def authorization(self) -> str:
        """The value of the HTTP Authorization header; empty when there is none to send."""
        if self.kind is CredentialKind.BASIC:
            return "Basic " + base64.b64encode(f"{self.username}:{self.secret}".encode()).decode()
        if self.kind is CredentialKind.BEARER:
            return f"Bearer {self.secret}"
        return ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every string that must not be seen in a message."""
        header = self.authorization.partition(" ")[2]
        return tuple(text for text in (self.secret, header, self.tls_key) if text)


@lru_cache(maxsize=256)
def _identity(credential: Credential) -> str:
    # The digest names a directory. Scrypt, so that a weak password cannot be guessed from it.
    parts = (
        credential.kind,
        credential.username,
        credential.secret,
        credential.tls_cert,
        str(credential.insecure),
    )
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.scrypt(text.encode(), salt=b"mooring git credential", n=2**13, r=8, p=1, dklen=16).hex()


@dataclass(frozen=True, slots=True)
class RepoSecret:
    """An Argo CD Secret about repositories, its values already decoded."""

    name: str
    kind: str  # "repository" or "repo-creds"
    data: Mapping[str, str]

    def __repr__(self) -> str:
        return f"RepoSecret({self.name}, {self.kind})"

    @classmethod
    def from_labels(cls, name: str, labels: Mapping[str, str], data: Mapping[str, str]) -> RepoSecret | None:
        """The Secret as a RepoSecret, or None when its labels say that it is something else."""
        kind = labels.get(SECRET_TYPE, "")
        return cls(name, kind, data) if kind in ("repository", "repo-creds") else None


def credential_for(
    repo_url: str,
    secrets: Sequence[RepoSecret],
    *,
    project: str = "",
    known_hosts: str = "",
    authorities: Mapping[str, str] | None = None,
    types: Collection[str] = GIT,
) -> Credential:
    """The credential for `repo_url` as an Application of `project` may use it.

    `types` are those of the Secrets: GIT, or REMOTE for chart repositories (`https://…`) and registries
    (`oci://host/path`, or without the scheme as Argo CD has it where `enableOCI` is set).

    The `repository` Secret of that very repository goes first, then the `repo-creds` Secret with
    the longest URL that `repo_url` begins with, then a password in the URL itself. A Secret that
    names a project is for Applications of that project alone. `known_hosts` are the lines of ssh host
    keys, `authorities` the PEM certificates that vouch for a host, by its name. Raises GitRefused when
    the Secret holds a kind of credential we cannot use.
    """
    repo_url = _spelt(repo_url, types)
    endpoint = _endpoint(repo_url, types)
    credential = _own_credential(repo_url, endpoint, secrets, project, types)
    vouching = (authorities or {}).get(endpoint.host, "") if endpoint.scheme in ("https", "oci") else ""
    return replace(
        credential, known_hosts=known_hosts if endpoint.scheme == "ssh" else "", authorities=vouching
    )


def _own_credential(
    repo_url: str, endpoint: Endpoint, secrets: Sequence[RepoSecret], project: str, types: Collection[str]
) -> Credential:
    usable = [
        (secret, url)
        for secret in secrets
        if secret.data.get("project", "") in ("", project)
        and _is_for(secret, types)
        and _endpoint_or_none(secret, url := _spelt(secret.data.get("url", ""), types), types) == endpoint
    ]
    own = [(s, url) for s, url in usable if s.kind == "repository" and _is_same(url, repo_url)]
    own.sort(key=lambda pair: (pair[0].data.get("project", "") != project, pair[0].name))
    shared = [(s, url) for s, url in usable if s.kind == "repo-creds" and _is_prefix(url, repo_url)]
    shared.sort(key=lambda pair: (-len(pair[1]), pair[0].data.get("project", "") != project, pair[0].name))
    chosen = [secret for secret, _ in own[:1] + shared[:1]]
    plain_http = any(_flag(secret, "insecureOCIForceHttp") for secret in chosen)
    lfs = any(_flag(secret, "enableLfs") for secret, _ in own[:1])
    for secret in chosen:
        credential = _from_secret(secret, endpoint)
        if credential.kind is not CredentialKind.NONE or credential.tls_cert:
            return replace(credential, plain_http=plain_http, lfs=lfs, vouched=True)
    insecure = any(_flag(s, "insecure") or _flag(s, "insecureIgnoreHostKey") for s, _ in own[:1])
    credential = replace(_from_url(repo_url), insecure=insecure)
    return replace(credential, plain_http=plain_http, lfs=lfs, vouched=bool(chosen))


def _is_for(secret: RepoSecret, types: Collection[str]) -> bool:
    told = secret.data.get("type", "")
    return told in types or (not told and (secret.kind == "repo-creds" or "git" in types))


def _spelt(url: str, types: Collection[str]) -> str:
    """A registry's URL with its scheme, which Argo CD leaves out."""
    return f"{_SCHEME}{url}" if types == REMOTE and url and "://" not in url else url


def _endpoint(url: str, types: Collection[str]) -> Endpoint:
    """Where `url` leads; a registry is another endpoint than the web server on the same port."""
    if types != REMOTE or not url.startswith(("http://", "https://", _SCHEME)):
        return endpoint_of(url)
    scheme, _, rest = url.partition("://")  # of these, a host is enough, and a query may be there
    host = re.split("[/?#]", rest)[0]
    if scheme != "oci":
        return endpoint_of(f"{scheme}://{host}/x")
    return replace(endpoint_of(f"https://{host}/x"), scheme=scheme)


def _endpoint_or_none(secret: RepoSecret, url: str, types: Collection[str]) -> Endpoint | None:
    if secret.kind == "repo-creds":  # may be a host without a path
        url = url.rstrip("/") + ("/x" if "://" in url else "x")
    try:
        return _endpoint(url, types)
    except GitRefused:
        return None  # somebody else's broken Secret must not stop this repository


def _is_same(a: str, b: str) -> bool:
    return _path(a) == _path(b) if a.startswith(_SCHEME) else same_repository(a, b)


def _is_prefix(prefix: str, url: str) -> bool:
    # The endpoints are equal already, so that `https://git.example.com` cannot open
    # `https://git.example.com.attacker.net`. Paths compare as Argo CD does it: plain prefix.
    return _path(url).startswith(_path(prefix))


def _path(url: str) -> str:
    tail = url.split("://", 1)[1].partition("/")[2] if "://" in url else url.partition(":")[2]
    return tail.strip("/").lower()


def _from_secret(secret: RepoSecret, endpoint: Endpoint) -> Credential:
    data = secret.data
    for field in _UNSUPPORTED:
        if data.get(field, "") not in ("", "false"):
            raise GitRefused(f"Secret {secret.name}: {field} is not supported yet; use a token or an ssh key")
    if endpoint.scheme == "ssh":
        key = data.get("sshPrivateKey", "")
        insecure = _flag(secret, "insecure") or _flag(secret, "insecureIgnoreHostKey")
        if not key:
            return Credential(insecure=insecure)
        return Credential(CredentialKind.SSH_KEY, secret=key.rstrip("\n") + "\n", insecure=insecure)
    tls = Credential(
        tls_cert=data.get("tlsClientCertData", ""),
        tls_key=data.get("tlsClientCertKey", ""),
        insecure=_flag(secret, "insecure"),
    )
    if token := data.get("bearerToken", "").strip():
        return replace(tls, kind=CredentialKind.BEARER, secret=_one_line(secret, token))
    if password := data.get("password", "").strip("\r\n"):
        # Hosts that take a bare token as password want some user name; GitHub documents this one.
        username = data.get("username", "").strip() or "x-access-token"
        return replace(tls, kind=CredentialKind.BASIC, username=username, secret=_one_line(secret, password))
    return tls


def _one_line(secret: RepoSecret, value: str) -> str:
    if any(ord(character) < 32 for character in value):
        raise GitRefused(f"Secret {secret.name}: the password or token has a line break or control character")
    return value


def _flag(secret: RepoSecret, field: str) -> bool:
    return secret.data.get(field, "").lower() == "true"


def _from_url(url: str) -> Credential:
    if "://" not in url:
        return Credential()
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.password:
        return Credential(
            CredentialKind.BASIC, username=unquote(parts.username or ""), secret=unquote(parts.password)
        )
    return Credential()

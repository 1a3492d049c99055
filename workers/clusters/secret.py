"""Argo CD's cluster Secrets, read into values: what each says, or why it cannot be used. Pure.

https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#clusters
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import orjson
from urllib3.util import parse_url

from mooring.errors import Refused
from mooring.keys import IN_CLUSTER, ObjectKey
from mooring.repourl import masked
from mooring.text import few
from workers.cluster.connect import server_ref

_LONGEST: Final = 256 * 1024  # characters of `config`; a Secret holds a megabyte
_EXEC_VERSION: Final = "client.authentication.k8s.io/v1"
_SCOPE: Final = ("server", "namespaces", "clusterResources")  # which part of which cluster
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Exec:
    """A program that gives a credential. `env` is what else it is started with: what is ours counts."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    api_version: str = _EXEC_VERSION
    hint: str = ""  # how to install it, as the Secret's author says


@dataclass(frozen=True, slots=True)
class Access:
    """How a cluster is opened. Nothing of it is ever shown: `repr` has what is no secret alone."""

    token: str = field(default="", repr=False)
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    insecure: bool = False
    server_name: str = ""
    ca: str = field(default="", repr=False)
    cert: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)
    exec: Exec | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ClusterSecret:
    """A cluster as its Secret has it.

    `namespaces` are the only ones that apps may have objects in there, all where there are none; then
    cluster-scoped kinds are left alone unless `cluster_resources`. `project` is whose it is, "" for
    everybody's. `secret` is what the Secret itself is called, `version` which one it is. `wrong` is why the
    cluster cannot be reached by it, or ""; of a `server` that is none credentials are masked. `unclear` is
    why nobody can tell to which part of which cluster it keeps apps, where it may do that.
    """

    name: str
    server: str
    project: str
    secret: str = ""
    version: str = ""
    namespaces: tuple[str, ...] = ()
    cluster_resources: bool = False
    shard: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict, repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict, repr=False)
    access: Access = field(default=Access(), repr=False)
    wrong: str = ""
    unclear: str = ""

    @property
    def title(self) -> str:
        """As a person calls it."""
        return self.name or self.server

    def why_not(self, key: ObjectKey, *, namespaced: bool) -> str:
        """Why the object is none that apps may have there; "" where it may be."""
        if not self.namespaces:
            return ""
        if not namespaced:
            if self.cluster_resources:
                return ""
            return (
                f"{key.title}: cluster {self.title} is managed in namespaces only: Secret {self.secret} does "
                'not say clusterResources: "true"'
            )
        if key.namespace in self.namespaces:
            return ""
        known = few(self.namespaces, 5)
        return f"{key.title}: namespace {key.namespace} of cluster {self.title} is not managed, only {known}"


def read(
    secret: str,
    data: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    version: str = "",
) -> ClusterSecret:
    """The cluster of the Secret named `secret` with this `data`, base64 as the API server has it. Raises
    nothing: what is wrong with it is in the value, and never quotes it, for one bad Secret keeps nobody from
    the other clusters."""
    wrong: dict[str, str] = {}

    def taken(name: str, how: Callable[[str, str, str], _T], otherwise: _T) -> _T:
        """A field, read by itself: what is wrong with one of them leaves the others."""
        try:
            return how(secret, name, _text(secret, name, data.get(name, "")))
        except Refused as error:
            wrong.setdefault(name, str(error))
            return otherwise

    of, project = taken("name", _line, ""), taken("project", _line, "")
    server = taken("server", _server, _without_credentials(taken("server", _line, "").rstrip("/")))
    namespaces = taken("namespaces", _listed, tuple[str, ...]())
    cluster_resources = taken("clusterResources", _line, "").lower() == "true"
    shard: int | None = taken("shard", _shard, None)
    access = Access() if server == IN_CLUSTER else taken("config", _access, Access())
    narrows = bool(namespaces) or "namespaces" in wrong
    return ClusterSecret(
        name=of,
        server=server,
        project=project,
        secret=secret,
        version=version,
        namespaces=namespaces,
        cluster_resources=cluster_resources,
        shard=shard,
        labels=labels or {},
        annotations=annotations or {},
        access=access,
        wrong=next(iter(wrong.values()), ""),
        unclear=next((wrong[one] for one in _SCOPE if narrows and one in wrong), ""),
    )


def _wrong(secret: str, what: str) -> Refused:
    return Refused(f"cluster Secret {secret}: {what}", condition="InvalidSpecError")


def _text(secret: str, name: str, value: Any) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError) as error:
        raise _wrong(secret, f"{name} is no text") from error


def _line(secret: str, name: str, text: str) -> str:
    line = text.strip()
    if not line.isprintable():
        raise _wrong(secret, f"{name} has a line break or control character")
    return line


def _listed(secret: str, name: str, text: str) -> tuple[str, ...]:
    """As Argo CD has it: what is around a comma does not count, and may be a line break."""
    return tuple(dict.fromkeys(one for part in text.split(",") if (one := _line(secret, name, part))))


def _server(secret: str, name: str, text: str) -> str:
    """The URL in the one spelling that is compared."""
    url = _line(secret, name, text).rstrip("/")
    if not url:
        raise _wrong(secret, "server is missing: give it the URL of the API server")
    try:
        parts = urlsplit(url)
        known = parse_url(url).host and (parts.port is None or parts.port)  # as who connects reads it
    except ValueError:
        raise _wrong(secret, "server is no URL: give it as https://host:port") from None
    if not known or parts.scheme != "https":
        raise _wrong(secret, "server must be a URL that begins with https://")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _wrong(secret, "server must be a URL alone: credentials go into config")
    return server_ref(url)


def _without_credentials(url: str) -> str:
    """What may be shown of a server that is none, by which no other is meant."""
    shown = masked(url)
    if shown == url and "@" not in url:
        return url
    scheme, separator, rest = shown.partition("://")
    return f"{scheme}://***@{rest}" if separator and "@" not in rest else "***"


def _shard(secret: str, name: str, text: str) -> int | None:
    text = _line(secret, name, text)
    if not text:
        return None
    if not text.isdecimal() or len(text) > 9:
        raise _wrong(secret, "shard must be a whole number")
    return int(text)


def _access(secret: str, _name: str, text: str) -> Access:
    """Raises Refused. Which of several credentials counts is Argo CD's order: AWS, exec, then the others.

    https://pkg.go.dev/github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1#ClusterConfig
    """
    config = _Config(secret, _decoded(secret, text))
    tls = config.part("tlsClientConfig")
    access = Access(
        insecure=tls.flag("insecure"),
        server_name=tls.ascii("serverName"),
        ca=tls.pem("caData"),
        cert=tls.pem("certData"),
        key=tls.pem("keyData"),
        proxy=config.ascii("proxyUrl"),
    )
    if access.insecure and access.ca:
        raise _wrong(secret, "config.tlsClientConfig: insecure and caData exclude each other: leave one out")
    if bool(access.cert) != bool(access.key):
        raise _wrong(secret, "config.tlsClientConfig: certData and keyData go together")
    if access.proxy and not _is_proxy(access.proxy):
        raise _wrong(secret, "config.proxyUrl must be a URL that begins with http:// or https://")
    if config.has("awsAuthConfig"):
        return replace(access, exec=_aws(secret, config.part("awsAuthConfig")))
    if config.has("execProviderConfig"):
        return replace(access, exec=_exec(secret, config.part("execProviderConfig")))
    token = config.ascii("bearerToken")
    username, password = (config.word(name) for name in ("username", "password"))  # sent as base64
    if token and username:
        raise _wrong(secret, "config: bearerToken and username exclude each other: leave one out")
    if password and not username:
        raise _wrong(secret, "config: password without username")
    if ":" in username:  # https://www.rfc-editor.org/rfc/rfc7617#section-2
        raise _wrong(secret, "config.username has a colon")
    return replace(access, token=token, username=username, password=password)


def _is_proxy(url: str) -> bool:
    try:
        parts = parse_url(url)
    except ValueError:  # it quotes the URL, and with that a password
        return False
    return parts.scheme in ("http", "https") and bool(parts.host)


def _aws(secret: str, config: _Config) -> Exec:
    """What Argo CD runs for it. https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#eks"""
    cluster, role, profile = (config.word(name) for name in ("clusterName", "roleARN", "profile"))
    if not cluster:
        raise _wrong(secret, "config.awsAuthConfig.clusterName is missing")
    args = ["aws", "--cluster-name", cluster]
    args += ["--role-arn", role] if role else []
    args += ["--profile", profile] if profile else []
    return Exec("argocd-k8s-auth", tuple(args), api_version=f"{_EXEC_VERSION}beta1")


def _exec(secret: str, config: _Config) -> Exec:
    command = config.word("command")
    if not command:
        raise _wrong(secret, "config.execProviderConfig.command is missing")
    api_version = config.word("apiVersion") or _EXEC_VERSION
    if api_version not in (_EXEC_VERSION, f"{_EXEC_VERSION}beta1"):
        raise _wrong(secret, f"config.execProviderConfig.apiVersion must be {_EXEC_VERSION}")
    return Exec(command, config.words("args"), config.names("env"), api_version, config.word("installHint"))


def _decoded(secret: str, text: str) -> Any:
    if len(text) > _LONGEST:
        raise _wrong(secret, f"config is longer than {_LONGEST} characters")
    try:
        return orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError as error:
        # Not the parser's own words in full: where it is wrong is enough.
        raise _wrong(secret, f"config is no JSON (line {error.lineno}, column {error.colno})") from None


class _Config:
    """A part of `config`, whose fields are read with their types. What is wrong is told by its path."""

    def __init__(self, secret: str, value: Any, path: str = "config") -> None:
        if not isinstance(value, dict):
            raise _wrong(secret, f"{path} must be a JSON object")
        self._secret, self._value, self._path = secret, value, path

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def part(self, name: str) -> _Config:
        value = self._value.get(name)
        return _Config(self._secret, {} if value is None else value, f"{self._path}.{name}")

    def flag(self, name: str) -> bool:
        value = self._value.get(name)
        if value not in (None, True, False):
            raise self._wrong(name, "must be true or false")
        return bool(value)

    def word(self, name: str) -> str:
        """One line. It may go into an argument."""
        value = self._value.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, "must be a text")
        value = value.strip("\r\n")
        if not value.isprintable():
            raise self._wrong(name, "has a line break or control character")
        return value

    def ascii(self, name: str) -> str:
        """One line that a header can have: https://www.rfc-editor.org/rfc/rfc9110#section-5.5"""
        value = self.word(name)
        if not value.isascii():
            raise self._wrong(name, "has a character that is not ASCII")
        return value

    def words(self, name: str) -> tuple[str, ...]:
        value = self._value.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) and "\0" not in one for one in value):
            raise self._wrong(name, "must be a list of texts")
        return tuple(value)

    def names(self, name: str) -> Mapping[str, str]:
        value = self._value.get(name)
        if value is None:
            return {}
        good = isinstance(value, dict) and all(
            isinstance(text, str) and "\0" not in key + text and key and "=" not in key
            for key, text in value.items()
        )
        if not good:
            raise self._wrong(name, "must be an object of texts")
        return dict(value)

    def pem(self, name: str) -> str:
        """PEM, which is base64 in JSON: https://pkg.go.dev/encoding/json#Marshal"""
        text = self._value.get(name)
        if not text:
            return ""
        try:
            pem = base64.b64decode("".join(text.split()), validate=True).decode()
        except (AttributeError, binascii.Error, UnicodeDecodeError, ValueError):
            raise self._wrong(name, "must be PEM, encoded as base64") from None
        if "-----BEGIN " not in pem:
            raise self._wrong(name, "must be PEM, encoded as base64")
        return pem

    def _wrong(self, name: str, what: str) -> Refused:
        return _wrong(self._secret, f"{self._path}.{name} {what}")

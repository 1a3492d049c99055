"""A repository's URL taken apart, checked, and freed of any password in it."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

from mooring.errors import GitRefused
from mooring.repourl import masked

_PORTS: Final = {"https": 443, "http": 80, "ssh": 22, "file": 0}
_SCP: Final = re.compile(r"(?:([A-Za-z0-9][\w.+-]*)@)?([A-Za-z0-9][\w.-]*):(?!/?/?:)([^\s]+)")
_HOST: Final = re.compile(r"[A-Za-z0-9][\w.-]*|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+")
_UNSPEAKABLE: Final = re.compile(r"[\x00-\x20\x7f]")
_USER: Final = re.compile(r"[A-Za-z0-9][\w.+@-]*")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a credential may be sent."""

    scheme: str  # "https", "http", "ssh" or "file"
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository that git may be given: no password, no options, no transport helper in it."""

    endpoint: Endpoint
    user: str  # of ssh
    path: str  # begins with "/", except in ssh where it may be relative to the login directory

    @property
    def url(self) -> str:
        end = self.endpoint
        if end.scheme == "file":
            return f"file://{self.path}"
        user = f"{self.user}@" if self.user and end.scheme == "ssh" else ""
        path = self.path if self.path.startswith("/") else f"/{self.path}"
        if end.scheme == "ssh" and not self.path.startswith("/"):
            return f"{user}{end.host}:{self.path}" if end.port == 22 else f"ssh://{user}{_at(end)}{path}"
        return f"{end.scheme}://{user}{_at(end)}{path}"

    @property
    def origin(self) -> str:
        """The endpoint as a URL that ends with `/`: what git compares `http.<url>.*` with."""
        return f"{self.endpoint.scheme}://{_at(self.endpoint)}/"


def endpoint_of(url: str) -> Endpoint:
    """Where `url` leads. Raises GitRefused as `parse` does; `file` URLs are allowed."""
    return parse(url, allow_file=True).endpoint


@lru_cache(maxsize=256)  # each look at an app asks for its own some times
def parse(url: str, *, allow_file: bool = False) -> Remote:
    """`url` as a Remote: https, http, ssh or scp form; `file` where allowed.

    Raises GitRefused on everything else (`ext::…`, local paths, options, control characters).
    """
    if _UNSPEAKABLE.search(url):
        raise GitRefused("a repository URL has a space or control character in it")
    shown = masked(url)
    if url.startswith("/"):
        url = f"file://{url}"
    if "://" not in url:
        match = _SCP.fullmatch(url)
        if match is None or url.startswith("-") or "::" in url:
            raise GitRefused(f"{shown!r} is not a repository URL: use https, ssh or user@host:path")
        user, host, path = match.groups()
        return Remote(Endpoint("ssh", host.lower(), 22), user or "", _checked_path(path, shown))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise GitRefused(f"{shown!r} is not a repository URL") from error
    scheme = {"git+ssh": "ssh", "ssh+git": "ssh"}.get(parts.scheme, parts.scheme)
    if scheme not in _PORTS or parts.query or parts.fragment:
        raise GitRefused(f"{shown!r} is not a repository URL: use https or ssh")
    if scheme == "file":
        if not allow_file:
            raise GitRefused(f"{shown!r}: file repositories are off (MOORING_GIT_ALLOW_FILE=1 allows them)")
        if parts.netloc or posixpath.normpath(parts.path) != parts.path.rstrip("/"):
            raise GitRefused(f"{shown!r}: a file URL is file:///an/absolute/path without '..'")
        return Remote(Endpoint("file", "", 0), "", parts.path)
    host, user = (parts.hostname or "").lower(), parts.username or ""
    if not _HOST.fullmatch(host) or (scheme == "ssh" and user and not _USER.fullmatch(user)):
        raise GitRefused(f"{shown!r} has no proper host name")
    path = _checked_path(parts.path, shown)
    return Remote(Endpoint(scheme, host, port or _PORTS[scheme]), user if scheme == "ssh" else "", path)


def _checked_path(path: str, shown: str) -> str:
    path = path.rstrip("/")
    if not path.strip("/") or path.startswith("-") or ".." in unquote(path).split("/"):
        raise GitRefused(f"{shown!r} has no proper path to a repository")
    return path


def _at(end: Endpoint) -> str:
    host = f"[{end.host}]" if ":" in end.host else end.host
    return host if end.port == _PORTS[end.scheme] else f"{host}:{end.port}"

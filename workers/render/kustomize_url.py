"""How a kustomization names a directory of another Git repository: Kustomize has a grammar of its own.

https://github.com/kubernetes-sigs/kustomize/blob/master/examples/remoteBuild.md
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

_SCHEMES: Final = ("ssh://", "https://", "http://", "file://")
_USER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*@")
_GITHUB: Final = re.compile(r"github\.com[/:]", re.IGNORECASE)
_MANIFEST: Final = re.compile(r"\.(yaml|yml|json)\Z")


@dataclass(frozen=True, slots=True)
class RepoUrl:
    """A directory of a repository: `url` as git takes it, `path` from the repository's root ("" is that),
    `ref` a branch, tag or commit, "" for the host's HEAD."""

    url: str
    path: str
    ref: str

    @classmethod
    def parse(cls, text: str) -> RepoUrl | None:
        """None when Kustomize would not take `text` for a repository, but for a path of this one."""
        if text.startswith("/"):
            return None
        text, _, query = text.partition("?")
        host, rest = _host(text)
        parts = _split(rest, whole=host.startswith("file://")) if host else None
        if parts is None or not parts[0]:
            return None
        path = posixpath.normpath(f"./{parts[1].lstrip('/')}")
        if path == ".." or path.startswith("../"):
            return None
        return cls(host + parts[0], "" if path == "." else path, _ref(query))


def is_remote_file(text: str) -> bool:
    """Whether Kustomize would get `text` over HTTP where it wants a file."""
    try:
        return urlsplit(text).scheme in ("http", "https")
    except ValueError:
        return False


def means_file(text: str) -> bool:
    """Whether an HTTP address that could be a repository's is that of a single manifest.

    Kustomize asks the host, and takes for a repository whatever is no manifest. We ask nobody: what is named
    like one is one, unless a repository is spelt out.
    """
    address = text.partition("?")[0]
    spelt_out = "//" in address.partition("://")[2] or ".git" in address or "_git/" in address
    return bool(_MANIFEST.search(address)) and not spelt_out


def _host(text: str) -> tuple[str, str]:
    """Everything before the repository's path, and the rest; "" when there is no host."""
    if text[:5].lower() == "git::":  # what go-getter, which Kustomize had once, called Git
        text = text[5:]
    scheme = next((each for each in _SCHEMES if text[: len(each)].lower() == each), "")
    text = text[len(scheme) :]
    found = _USER.match(text)
    user = found[0] if found else ""
    text = text[len(user) :]
    if scheme == "file://":
        return scheme, user + text
    github = _GITHUB.match(text)
    if not scheme and not user and not github:
        return "", ""
    cut = text.find("/")
    if not scheme:  # user@host:path, where nothing but the colon ends the host
        colon = text.find(":")
        if cut < 0 or 0 < colon < cut:
            cut = colon
    host, rest = (text[: cut + 1], text[cut + 1 :]) if cut >= 0 else (text, "")
    if github:
        if scheme == "ssh://" or user:
            return f"{user}github.com:", rest
        return "https://github.com/", rest
    return (scheme + user + host, rest) if host else ("", "")


def _split(text: str, whole: bool) -> tuple[str, str] | None:
    """The repository, and the directory in it."""
    if (at := text.find("_git/")) >= 0:  # Azure DevOps: the repository is the step after it
        repository, _, path = text[at + 5 :].partition("/")
        return text[: at + 5] + repository, path
    if (at := text.find("//")) >= 0:
        return text[:at], text[at + 2 :]
    if (at := text.find(".git")) >= 0:
        return text[: at + 4], text[at + 4 :]
    if whole:
        return text, ""
    steps = text.split("/")
    return ("/".join(steps[:2]), "/".join(steps[2:])) if len(steps) >= 2 else None


def _ref(query: str) -> str:
    # The first of several counts; an empty `ref` is none. `timeout` changes no manifest, nor do `submodules`:
    # they are fetched only where something in them is named, which without them would be an error.
    values = parse_qs(query, keep_blank_values=True)
    ref = values.get("ref", [""])[0]
    return ref or values.get("version", [""])[0]

"""Repository URLs compared as a person would: one repository has many spellings.

`https://github.com/Org/Repo.git`, `git@github.com:org/repo` and `ssh://git@github.com:22/org/repo/` are
one. The normal form is itself a URL: `https://host[:port]/path`, or `ssh://host:port/path` where the
port of an SSH server is its own, or `file:///path`.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from mooring.errors import Refused

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>.*)\Z", re.DOTALL)
# user@host:path, where git takes no `/` before the colon: https://git-scm.com/docs/git-clone#_git_urls
_SCP = re.compile(r"(?:(?P<user>[^/:]*)@)?(?P<host>\[[^\]/]*\]|[^/:@?#]+):(?P<path>.*)\Z", re.DOTALL)
_HOST = re.compile(r"\[[0-9a-f:.]+\]|[^\s:@/?#]+")  # with `*` and the like, in the patterns of projects
_TRANSPORT_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")
_SCHEMES = frozenset({"https", "http", "ssh", "git+ssh", "ssh+git", "git"})
_DEFAULT_PORTS = {"ssh": {"22"}, "web": {"80", "443", "9418"}}
# Other names under which a host answers; those of SSH over the HTTPS port are documented by each host.
_ALIASES = {
    "www.github.com": "github.com",
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
    "ssh.dev.azure.com": "dev.azure.com",
}
_SSH_OVER_HTTPS = frozenset({"ssh.github.com", "altssh.gitlab.com", "altssh.bitbucket.org"})
_CASELESS = frozenset({"github.com", "gitlab.com", "bitbucket.org", "dev.azure.com"})
_SAFE = "/~+@:!$&'()*,;=[]{}?"


@dataclass(frozen=True, slots=True)
class _Parts:
    scheme: str  # "file" for paths of this machine, "" for what makes no sense
    user: str = ""
    host: str = ""
    port: str = ""
    path: str = ""


def _split(url: str) -> _Parts:
    if match := _URL.match(url):
        scheme = match["scheme"].lower()
        credentials, _, host = match["authority"].rpartition("@")
        host, port = _host_port(host)
        return _Parts(scheme, credentials.partition(":")[0], host, port, match["path"])
    if url.startswith(("/", ".", "~")):
        return _Parts("file", path=url)
    if match := _SCP.match(url):
        return _Parts("ssh", match["user"] or "", _host_port(match["host"])[0], "", match["path"])
    return _Parts("", path=url)


def _host_port(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?", text)
    host, port = (match[1], match[2] or "") if match else (text, "")
    return host.lower().strip(". "), port


@lru_cache(maxsize=4096)
def normalise(url: str) -> str:
    """The one spelling of a repository's URL, without credentials. Never raises; idempotent.

    What is no URL at all comes back as it is; `check_repo_url` refuses it.
    """
    url = url.strip()
    parts = _split(url)
    if parts.scheme == "file":
        return "file://" + _path(parts.path)
    if not parts.scheme or not _HOST.fullmatch(parts.host):
        return url  # no URL: equal to itself alone
    ssh = "ssh" in parts.scheme
    port = parts.port.lstrip("0")
    if port in _DEFAULT_PORTS["ssh" if ssh else "web"] or (port == "443" and parts.host in _SSH_OVER_HTTPS):
        port = ""
    host, path = _ALIASES.get(parts.host, parts.host), _path(parts.path)
    host, path = _azure(host, path)
    if host in _CASELESS:
        path = _without_git(path.lower())
    scheme = parts.scheme
    if scheme in _SCHEMES:
        scheme = "ssh" if ssh and port else "https"
    return f"{scheme}://{host}{':' + port if port else ''}{path.rstrip('/')}"


def _path(path: str) -> str:
    """Absolute, one way of quoting, dot segments resolved: a pattern must not be stepped out of."""
    path = posixpath.normpath("/" + unquote(path).strip("/"))
    return quote(_without_git(path), safe=_SAFE, errors="replace")


def _without_git(path: str) -> str:
    while (shorter := path.removesuffix(".git").rstrip("/")) != path and shorter:
        path = shorter
    return path


def _azure(host: str, path: str) -> tuple[str, str]:
    """Azure DevOps has four spellings. https://learn.microsoft.com/azure/devops/repos/git/clone"""
    steps = path.strip("/").split("/")
    if old := re.fullmatch(r"([a-z0-9-]+)\.visualstudio\.com", host):
        if steps[0].lower() == "defaultcollection":
            del steps[0]
        # SSH of the old name: vs-ssh.visualstudio.com:v3/organisation/project/repository
        host, steps = "dev.azure.com", steps if old[1] in ("vs-ssh", "ssh") else [old[1], *steps]
    if host != "dev.azure.com":
        return host, path
    if steps[0] == "v3" and len(steps) == 4:
        steps = [steps[1], steps[2], "_git", steps[3]]
    # A repository named as its project leaves the project out; a pattern must not grow wider by it.
    if len(steps) == 3 and steps[1] == "_git" and not set(steps[2]) & set("*?[{"):
        steps.insert(1, steps[2])
    return host, "/" + "/".join(steps)


def is_oci(url: str) -> bool:
    """Whether it is the address of an OCI registry, and no Git repository."""
    return url.strip()[:6].lower() == "oci://"


def same_repository(a: str, b: str) -> bool:
    """Whether a person would say that both URLs name one repository."""
    return normalise(a) == normalise(b)


def ends_with(repo: str, path: str) -> bool:
    """Whether `repo`, normalised, may be the repository that its server calls `path` ("project/name").

    Bitbucket Server serves Git over HTTP below `/scm/`, itself below any path, and over SSH at the root.
    """
    at = repo.partition("://")[2].partition("/")[2].lower()
    path = path.lower()
    return bool(path) and (at == path or f"/{at}".endswith(f"/scm/{path}"))


def masked(url: str) -> str:
    """The URL as it may be shown: no password, no token, no query; the user only where it is SSH's."""
    url = re.split("[?#]", url.strip())[0]
    match = _URL.match(url)
    if not match:  # user@host:path; a password is not possible there, but people try
        return re.sub(r"\A[^/\s@]*:[^/\s]*@", "", url)
    address = match["authority"].rpartition("@")[2] + match["path"]
    if "@" in address and not re.match(r"(\[[^\]]*\]|[^:/]*)(:\d*)?(/|\Z)", address):
        address = address.rpartition("@")[2]  # a password with an unquoted slash
    user = _split(url).user if "ssh" in match["scheme"].lower() else ""
    return f"{match['scheme']}://{user}{'@' if user else ''}{address}"


def check_repo_url(url: str, allow_file: bool) -> None:
    """Raises Refused unless `url` may be handed to git: no option, no transport helper, no odd scheme.

    `allow_file` permits `file://` and absolute paths of this machine.
    """
    shown = masked(url)
    if any(ord(c) < 32 or ord(c) == 127 for c in url):
        raise _refused("the repository URL has a control character in it: remove it")
    if not url or url.split() != [url]:
        raise _refused(f"repository URL {shown!r} is empty or has blanks in it: write them as %20")
    if _TRANSPORT_HELPER.match(url):
        raise _refused(f"repository URL {shown!r} names a git transport helper: use https:// or ssh://")
    parts = _split(url)
    if any(text.startswith("-") for text in (url, parts.user, parts.host, parts.path)):
        raise _refused(f"repository URL {shown!r} would be read as an option of git or ssh")
    if parts.scheme == "file":
        if not allow_file:
            raise _refused(f"repository {shown!r} is a path of this machine: set MOORING_GIT_ALLOW_FILE=1")
        if parts.host or not parts.path.startswith("/"):
            raise _refused(f"repository {shown!r} must be an absolute path of this machine")
    elif parts.scheme not in _SCHEMES:
        raise _refused(f"repository URL {shown!r} is not one of https://, http://, ssh:// and user@host:path")
    elif not re.fullmatch(r"\[[0-9a-f:.%]+\]|[\w.-]+", parts.host) or not parts.path.strip("/"):
        raise _refused(f"repository URL {shown!r} names no host or no repository")


def _refused(message: str) -> Refused:
    return Refused(message, condition="InvalidSpecError")

"""What a render needs and its own sources do not have, fetched as its app's project may have it.

Here it is strangers who name the addresses: whoever can push to a repository. So a project must permit each
of them, and only public hosts are asked, and the source's own; others when an operator names them, in a
repository's Secret or in MOORING_REMOTE_HOSTS.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.request import getproxies, proxy_bypass

from mooring.errors import GitFailed, GitRefused, Refused, RenderFailed
from mooring.model.project import AppProject
from mooring.model.spec import Source
from mooring.repourl import masked, same_repository
from mooring.settings import Settings
from workers import checkout
from workers.apps.store import Applications
from workers.git.credentials import REMOTE, Credential, credential_for
from workers.git.mirror import checkout as checked_out
from workers.git.pins import pinned
from workers.git.remote import Endpoint, endpoint_of, parse
from workers.git.submodules import with_submodules
from workers.git.tree import Entry
from workers.origin import remotes_of
from workers.remote.addresses import may_be_asked
from workers.render.address import Address
from workers.render.files import Tree, digest_of

_ADVICE: Final = "only public hosts may be named there; MOORING_REMOTE_HOSTS permits others"


@dataclass(slots=True)
class Fetcher:
    """`workers.render.source.Fetch` for one look at an app: what a name means is asked once.

    `home` is the source of the app; `patience_s` how long this process waits for a host.
    """

    applications: Applications
    settings: Settings
    project: AppProject
    home: Source
    patience_s: float
    _known: dict[tuple[str, str], tuple[Tree, str]] = field(default_factory=dict)

    def git(self, url: str, revision: str) -> tuple[Tree, str]:
        """A repository at `revision`, by its mirror, with its submodules.

        Raises Refused kinds for one that is not permitted or not there, GitFailed when it may work later,
        TooSlow when only this process's patience was too short.
        """
        known = self._known.get((url, revision))
        if known is None:
            tree, commit = self._git(url, revision)
            known = self._known[url, revision] = self.whole(tree, commit, url), commit
        return known

    def whole(self, tree: Tree, commit: str, url: str) -> Tree:
        """The files of a commit of the repository at `url`, with its submodules where these are wanted.

        They are fetched once something in them is read, which raises as `git` does.
        """
        if not self.settings.git_submodules:
            return tree
        return with_submodules(tree, commit, url, lambda other, wanted: self._git(other, wanted)[0])

    def chart(self, repo_url: str, chart: str, revision: str) -> tuple[Tree, str, str]:
        """A chart, its version, the digest of its archive. Raises Refused kinds, RemoteFailed."""
        self._check_permitted(repo_url)
        own = same_repository(repo_url, self.home.repo_url)
        remotes, credential = remotes_of(self.settings, self.patience_s), self._credential(repo_url)
        with checkout.patiently(self.patience_s, self.settings):
            found = remotes.chart(
                repo_url,
                chart,
                revision,
                credential,
                trusted=own,  # an Application names it
                pass_credentials=own and self.home.helm is not None and self.home.helm.pass_credentials,
            )
            return remotes.tree(found, credential), found.version, found.digest

    def file(self, url: str) -> tuple[bytes, str]:
        """A single file, and its SHA-256. Raises Refused kinds, RemoteFailed."""
        self._check_permitted(url)
        with checkout.patiently(self.patience_s, self.settings):
            return remotes_of(self.settings, self.patience_s).file(url, self._credential(url))

    def digest(self, address: str) -> str:
        """What is at an address of `Product.remotes` now. Raises as the three above do."""
        match Address.parse(address):
            case Address("git", (url, revision)):
                return digest_of(*self.git(url, revision))
            case Address("chart", (repo_url, chart, revision)):
                return self.chart(repo_url, chart, revision)[2]
            case Address("file", (url,)):
                return self.file(url)[1]
        raise RenderFailed(f"{masked(address)} is not understood: render anew")

    def _git(self, url: str, revision: str) -> tuple[Tree, str]:
        endpoint = parse(url).endpoint  # never a path of this machine, whatever the settings allow elsewhere
        self._check_permitted(url)
        source, name = Source(repo_url=url), self.project.metadata.name
        credential = checkout.credential_of(self.applications, self.settings, source, name)
        own = checkout.is_git(self.home) and endpoint == endpoint_of(self.home.repo_url)
        addresses = check_host(endpoint, self.settings, vouched=credential.vouched or own)
        mirror = checkout.open_mirror(self.applications, self.settings, source, name)
        with checkout.patiently(self.patience_s, self.settings), pinned(addresses):
            found = checked_out(mirror, revision or "HEAD", timeout=self.patience_s)
        (mirror.home / "used").touch()  # no Application names it, yet it is needed
        return _Pinned(mirror.tree, addresses), found.commit

    def _check_permitted(self, url: str) -> None:
        if rule := self.project.why_no_source(url):
            name = self.project.metadata.name
            raise Refused(f"project {name} does not permit this address: {rule}")

    def _credential(self, url: str) -> Credential:
        """What opens a chart repository, a registry or the host of a file."""
        return credential_for(
            url,
            self.applications.repo_secrets(),
            project=self.project.metadata.name,
            authorities=self.applications.tls_certificates(),
            types=REMOTE,
        )


@dataclass(frozen=True, slots=True)
class _Pinned:
    """The files of a mirror, of which some may be fetched only as they are read."""

    tree: Tree
    addresses: tuple[str, ...]

    @property
    def shaped_by(self) -> tuple[str, ...]:
        return self.tree.shaped_by

    def tree_id(self, commit: str, path: str) -> str | None:
        return self.tree.tree_id(commit, path)

    def walk(self, commit: str, path: str = "", recurse: bool = True) -> Iterator[Entry]:
        return self.tree.walk(commit, path, recurse)

    def read_many(self, ids: Sequence[str], limit: int) -> dict[str, bytes]:
        with pinned(self.addresses):
            return self.tree.read_many(ids, limit)

    def prepare(self, ids: Sequence[str]) -> None:
        with pinned(self.addresses):
            self.tree.prepare(ids)


def check_host(endpoint: Endpoint, settings: Settings, *, vouched: bool) -> tuple[str, ...]:
    """The addresses at which a host may be asked that a stranger names; () is any.

    `vouched`: somebody else names it too. All addresses of the host are looked at. Nobody vouches for
    link-local ones, where clouds keep their credentials. Raises GitRefused, and GitFailed when the host is
    not known.
    """
    name = f"{endpoint.host}:{endpoint.port}"
    if {endpoint.host, name} & set(settings.remote_hosts.replace(",", " ").lower().split()):
        return ()
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        if getproxies().get(endpoint.scheme) and not proxy_bypass(endpoint.host):
            return ()  # a name that only the proxy knows, which has rules of its own
        raise GitFailed(f"{endpoint.host}: no such host, or DNS does not answer; check the URL") from error
    addresses = tuple(dict.fromkeys(str(address[0]) for *_, address in found))
    for address in addresses:
        if not may_be_asked(address, vouched=vouched):
            raise GitRefused(f"{endpoint.host} is at {address}, which is not a public address: {_ADVICE}")
    return addresses

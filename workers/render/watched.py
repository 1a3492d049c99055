"""Remembers what a render fetches: where it fails, nobody else can tell what it depended on."""

from __future__ import annotations

from mooring.repourl import masked
from workers.render.address import Address
from workers.render.files import Tree, digest_of
from workers.render.source import Fetch


class Watched:
    """Fetches as another does; `remotes` are the digests of what came, as `Product.remotes` has them."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self.remotes: dict[str, str] = {}

    def chart(self, repo_url: str, chart: str, revision: str) -> tuple[Tree, str, str]:
        tree, version, digest = self._fetch.chart(repo_url, chart, revision)
        self._came(digest, "chart", repo_url, chart, revision)
        return tree, version, digest

    def git(self, url: str, revision: str) -> tuple[Tree, str]:
        tree, commit = self._fetch.git(url, revision)
        self._came(digest_of(tree, commit), "git", url, revision)
        return tree, commit

    def file(self, url: str) -> tuple[bytes, str]:
        data, digest = self._fetch.file(url)
        self._came(digest, "file", url)
        return data, digest

    def digest(self, address: str) -> str:
        return self._fetch.digest(address)

    def _came(self, digest: str, kind: str, url: str, *rest: str) -> None:
        self.remotes[str(Address(kind, (masked(url), *rest)))] = digest

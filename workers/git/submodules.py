"""A repository's files with those of its submodules in their places, as a checkout of Argo CD's has them.

Nothing is checked out and git is told of no submodule: the commit is in the tree, and the URL in
`.gitmodules`, which a stranger wrote. It is fetched as any repository, through a mirror of its own, once
somebody asks for something in it.
https://git-scm.com/docs/gitmodules
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from mooring.errors import GitRefused, MooringError, Refused
from mooring.text import printable
from workers.git.process import run
from workers.git.remote import Remote, parse
from workers.git.tree import Entry, Graft

_FILE: Final = ".gitmodules"
_FILE_LIMIT: Final = 1 << 20
_PARSE_S: Final = 10.0
MOST: Final = 100  # submodules that one render enters, however they lie in each other
DEEPEST: Final = 10


class Tree(Protocol):
    """What of a commit's files is needed here, and given."""

    @property
    def shaped_by(self) -> tuple[str, ...]: ...

    def tree_id(self, commit: str, path: str) -> str | None: ...

    def walk(self, commit: str, path: str = "", recurse: bool = True) -> Iterator[Entry]: ...

    def read_many(self, ids: Sequence[str], limit: int) -> dict[str, bytes]: ...

    def prepare(self, ids: Sequence[str]) -> None: ...


Bring = Callable[[str, str], Tree]


@dataclass(slots=True)
class _Room:
    """How many submodules may still be entered."""

    left: int = MOST


def with_submodules(tree: Tree, commit: str, url: str, bring: Bring) -> Tree:
    """The files of `commit` with its submodules: `tree` itself where it names none.

    `url` is where the repository came from: relative URLs begin there. `bring(url, commit)` gives the files
    of another repository, where that commit is; it raises for those that may not be had.
    """
    return _grafted(tree, commit, url, bring, _Room(), 0)


def _grafted(tree: Tree, commit: str, url: str, bring: Bring, room: _Room, depth: int) -> Tree:
    found = next((entry for entry in tree.walk(commit, "", False) if entry.path == _FILE), None)
    if found is None or not found.is_file:  # git follows no link there either
        return tree
    return Submodules(tree, commit, url, found.id, bring, room, depth)


class Submodules:
    """The files of one commit and of its submodules. Made by `with_submodules`.

    Raises GitRefused, naming the submodule, for one that cannot or may not be had, GitFailed for one that may
    be had later.
    """

    def __init__(
        self, tree: Tree, commit: str, url: str, told: str, bring: Bring, room: _Room, depth: int
    ) -> None:
        self._tree = tree
        self._commit = commit
        self._url = url
        self._told = told  # the id of .gitmodules
        self._bring = bring
        self._room = room
        self._depth = depth
        self._urls: dict[str, str] | None = None
        self._links: dict[str, dict[str, str]] = {}  # by directory: names and commits of submodules
        self._entered: dict[str, Tree] = {}
        self._owners: dict[str, Tree] = {}  # whose blobs are not this repository's own

    @property
    def shaped_by(self) -> tuple[str, ...]:
        """`submodules`, since a directory has the same id whether they are entered or not."""
        return (*self._tree.shaped_by, "submodules")

    def tree_id(self, commit: str, path: str) -> str | None:
        place, inner = self._split(commit, path)
        if place is None or not inner:
            return self._tree.tree_id(commit, path)
        return self._enter(place).tree_id(place.id, inner)

    def walk(self, commit: str, path: str = "", recurse: bool = True) -> Iterator[Entry]:
        """Submodules are given as directories, and entered as these are."""
        place, inner = self._split(commit, path)
        if place is not None:
            yield from self._inside(place, inner, recurse)
            return
        for entry in self._tree.walk(commit, path, recurse):
            if not entry.is_submodule:
                yield entry
                continue
            graft = Graft(entry.path, 0o040000, entry.id)
            yield graft
            if recurse:
                yield from self._inside(graft, "", recurse=True)

    def read_many(self, ids: Sequence[str], limit: int) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for owner, theirs in self._by_owner(ids):
            found |= owner.read_many(theirs, limit)
        return found

    def prepare(self, ids: Sequence[str]) -> None:
        for owner, theirs in self._by_owner(ids):
            owner.prepare(theirs)

    def _by_owner(self, ids: Sequence[str]) -> list[tuple[Tree, list[str]]]:
        groups: dict[int, tuple[Tree, list[str]]] = {}
        for id_ in ids:
            owner = self._owners.get(id_, self._tree)
            groups.setdefault(id(owner), (owner, []))[1].append(id_)
        return list(groups.values())

    def _split(self, commit: str, path: str) -> tuple[Graft | None, str]:
        """The submodule that `path` is or lies in, and the way on from there."""
        if commit != self._commit:
            raise ValueError("these are the submodules of another commit")
        folder, steps = "", path.split("/") if path else []
        for number, step in enumerate(steps):
            here = f"{folder}/{step}" if folder else step
            if (id_ := self._links_in(folder).get(here)) is not None:
                return Graft(here, 0o040000, id_), "/".join(steps[number + 1 :])
            folder = here
        return None, ""

    def _links_in(self, folder: str) -> dict[str, str]:
        if folder not in self._links:
            entries = self._tree.walk(self._commit, folder, False)
            self._links[folder] = {entry.path: entry.id for entry in entries if entry.is_submodule}
        return self._links[folder]

    def _inside(self, graft: Graft, path: str, recurse: bool) -> Iterator[Entry]:
        tree = self._enter(graft)
        for entry in tree.walk(graft.id, path, recurse):
            if not isinstance(entry, Graft):
                self._owners[entry.id] = tree
            yield replace(entry, path=f"{graft.path}/{entry.path}")

    def _enter(self, graft: Graft) -> Tree:
        tree = self._entered.get(graft.path)
        if tree is None:
            tree = self._entered[graft.path] = self._fetched(graft)
        return tree

    def _fetched(self, graft: Graft) -> Tree:
        name = f"submodule {printable(graft.path)}"
        url = self._url_of(graft.path)
        if self._room.left <= 0 or self._depth >= DEEPEST:
            raise GitRefused(
                f"{name}: more than {MOST} submodules, or {DEEPEST} in each other, are not entered"
            )
        self._room.left -= 1
        try:
            tree = self._bring(url, graft.id)
        except Refused as error:
            raise GitRefused(f"{name}: {error}") from error
        return _grafted(tree, graft.id, url, self._bring, self._room, self._depth + 1)

    def _url_of(self, path: str) -> str:
        if self._urls is None:
            self._urls = _urls(self._tree.read_many([self._told], _FILE_LIMIT)[self._told])
        told = self._urls.get(path)
        if told is None:
            raise GitRefused(
                f"{_FILE} names no url for the submodule {printable(path)}: add it, or remove it"
            )
        try:
            return absolute(told, self._url)
        except GitRefused as error:
            raise GitRefused(f"{_FILE}: submodule {printable(path)}: {error}") from error


def absolute(url: str, base: str) -> str:
    """The URL of a submodule of the repository at `base`: `./x` and `../x` begin there, on the same host.

    Raises GitRefused on everything that is not https, http, ssh or the scp form.
    """
    if not url.startswith(("./", "../")):
        return parse(url).url
    home: Remote = parse(base)
    absolutely = home.path.startswith("/")
    steps = [step for step in home.path.split("/") if step]
    for step in url.split("/"):
        if step == ".." and not steps:
            raise GitRefused("its relative url leads out of the host")
        if step == "..":
            steps.pop()
        elif step not in ("", "."):
            steps.append(step)
    path = "/".join(steps)
    return parse(replace(home, path=f"/{path}" if absolutely else path).url).url


def _urls(told: bytes) -> dict[str, str]:
    """URLs by path, of the text of a `.gitmodules`, which git itself takes apart."""
    try:
        out = run(
            ["config", "--file", "-", "--no-includes", "--null", "--list"],
            deadline=time.monotonic() + _PARSE_S,
            stdin=[told],
        )
    except MooringError as error:
        raise GitRefused(f"{_FILE} cannot be read: {error}") from error
    modules: dict[str, dict[str, str]] = {}
    for item in out.decode(errors="replace").split("\0"):
        key, _, value = item.partition("\n")
        section, _, rest = key.partition(".")
        name, _, field = rest.rpartition(".")
        if section == "submodule" and name:
            modules.setdefault(name, {})[field] = value
    return {
        module["path"].rstrip("/"): module["url"]
        for module in modules.values()
        if module.get("path") and module.get("url")
    }

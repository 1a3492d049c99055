"""The files of one commit as one render sees them: each path that is asked for is remembered.

So a render cannot read anything that its read-set does not know. Tools that need real files get copies of
what was asked for, and of nothing else.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from mooring.errors import GitRefused, RenderFailed
from mooring.text import printable
from workers.git.tree import Entry, Graft, TreeReader, clean_path
from workers.render.readset import COMMIT

_MAX_HOPS: Final = 20  # symbolic links one behind the other
_AT_ONCE: Final = 20  # files in memory before the total is looked at again
_MODULES: Final = ".gitmodules"
_ROOT_MODE: Final = 0o040000
_EXECUTABLE: Final = 0o100


class Tree(Protocol):
    """The files of commits. `workers.git.tree.TreeReader` is one, an unpacked chart another."""

    @property
    def shaped_by(self) -> tuple[str, ...]:
        """What besides the Git ids decides what is read: nothing, where files are as Git itself has them."""
        ...

    def tree_id(self, commit: str, path: str) -> str | None: ...

    def walk(self, commit: str, path: str = "", recurse: bool = True) -> Iterator[Entry]: ...

    def read_many(self, ids: Sequence[str], limit: int) -> dict[str, bytes]: ...

    def prepare(self, ids: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one render may read. Argo CD's default for all manifests together is the same."""

    file_bytes: int = 10 << 20
    total_bytes: int = 10 << 20
    copied_bytes: int = 256 << 20
    copied_files: int = 50_000


class Files:
    """What `commit` holds. Paths are from the root of the repository, with `/`; "" is the root.

    Symbolic links are followed inside the repository. RenderFailed is raised for one that leads out of it,
    GitRefused for a path that does.
    """

    def __init__(self, tree: Tree, commit: str, limits: Limits = Limits()) -> None:
        self.tree = tree
        self.commit = commit
        self.limits = limits
        self._reads: dict[str, str | None] = {}
        self._grafts: dict[str, str] = {}
        self._folders: dict[str, dict[str, Entry]] = {}  # what is in each, by path
        self._copied_bytes = 0
        self._copied_files = 0

    @property
    def reads(self) -> Mapping[str, str | None]:
        """Each path that was asked for, with the Git id that is there, or None where nothing is.

        What was asked for inside a submodule depends on its commit, which stands for it.
        """
        return self._reads

    def ids(self, paths: Iterable[str]) -> dict[str, str | None]:
        """The Git ids of what is at `paths`, None where nothing is. These are not remembered."""
        return ids_of(self.tree, self.commit, paths)

    def remember(self, reads: Mapping[str, str | None]) -> None:
        """As if these had been asked for and found: for who has what was made of them already."""
        self._reads.update(reads)

    def find(self, path: str) -> Entry | None:
        """What is at `path`, behind its symbolic links: a file or a directory. None when nothing is.

        A link that dangles or goes in circles leads to nothing. A directory is remembered with all that is
        in it.
        """
        way = self._way(path)
        return None if way is None else self._noted(way)

    def name_commit(self) -> None:
        """Remember that what is made of these files names their commit: each one gives another render."""
        self._reads[COMMIT] = self.commit

    def locate(self, path: str) -> Entry | None:
        """The same for who asks for what is in a directory by name: of that, only the way is remembered."""
        way = self._way(path)
        entry = None if way is None else self._entry(way)
        return entry if entry is not None and entry.is_tree else self.find(path)

    def read(self, path: str) -> bytes:
        """The bytes of the file at `path`. Raises RenderFailed when there is none, or it is too large."""
        found = self.find(path)
        if found is None or not found.is_file:
            what = "there is no such file" if found is None else "is not a file"
            raise RenderFailed(f"{what} at commit {self.commit[:12]}", where=printable(path))
        return next(self.contents([(path, found.id)]))[1]

    def walk(self, path: str, *, recurse: bool = True) -> list[Entry]:
        """What is below the directory `path`, which is remembered as a whole; sorted by path.

        Links are given as such. Nothing where there is no directory.
        """
        found = self.find(path)
        if found is None or not found.is_tree:
            return []
        if recurse:
            entries = list(self.tree.walk(self.commit, found.path))
        else:
            entries = list(self._folder(found.path).values())
        for entry in entries:
            self._meet(entry)
        return sorted(entries, key=lambda entry: entry.path.split("/"))

    def contents(self, files: Iterable[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
        """The bytes of files, given as pairs of a name for messages and a Git id that `find` or `walk` gave.

        Raises RenderFailed when one of them, or all together, are larger than the limits.
        """
        left, total = list(files), 0
        self.tree.prepare([id_ for _, id_ in left])  # of a large repository, few files may be here
        while left:
            batch, left = left[:_AT_ONCE], left[_AT_ONCE:]
            for name, data in zip(batch, self._read(batch), strict=True):
                total += len(data)
                if total > self.limits.total_bytes:
                    raise RenderFailed(
                        f"the files of this app are larger than {self.limits.total_bytes} bytes together",
                        where=printable(name[0]),
                    )
                yield name[0], data

    def copy(self, paths: Iterable[str], to: Path) -> None:
        """Copies of files and whole directories below the directory `to`, at their own paths.

        They are plain files: what a symbolic link leads to stands in its place, and one that leads to nothing
        is left out. A path where nothing is, is remembered and left out too. Raises RenderFailed when it is
        too much.
        """
        pending: list[tuple[str, Entry]] = []
        for path in paths:
            found = self.find(path)
            if found is not None:
                pending += self._leaves(clean_path(path), found)
        pending = list(dict(pending).items())
        self.tree.prepare([entry.id for _, entry in pending])
        while pending:
            batch, pending = pending[:_AT_ONCE], pending[_AT_ONCE:]
            for (path, entry), data in zip(
                batch, self._read([(path, entry.id) for path, entry in batch]), strict=True
            ):
                self._copied_bytes += len(data)
                if self._copied_bytes > self.limits.copied_bytes:
                    raise RenderFailed(
                        f"the files of this source are larger than {self.limits.copied_bytes} bytes together"
                    )
                file = to / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
                file.chmod(0o755 if entry.mode & _EXECUTABLE else 0o644)

    def _way(self, path: str) -> str | None:
        """The path behind all symbolic links, which are remembered, as is where it ends before its end."""
        todo, done, hops = clean_path(path).split("/"), list[str](), 0
        while todo:
            step = todo.pop(0)
            if step in ("", "."):
                continue
            if step == "..":
                if not done:
                    raise _leads_out(path)
                done.pop()
                continue
            here = "/".join((*done, step))
            found = self._folder("/".join(done)).get(here)
            if found is None:
                self._note(here, None)
                return None
            self._meet(found)
            if found.is_link:
                self._note(here, found.id)
                hops += 1
                if hops > _MAX_HOPS:
                    return None
                target = self._target(found)
                if target.startswith("/"):
                    raise _leads_out(here)
                todo = target.split("/") + todo
                continue
            if todo and not found.is_tree:
                self._note(here, found.id)
                return None
            done.append(step)
        return "/".join(done)

    def _leaves(self, path: str, found: Entry, links: int = 0) -> Iterator[tuple[str, Entry]]:
        """The files at and below `found`, as they are to lie at `path`."""
        self._count()
        if found.is_file:
            yield path, found
        if not found.is_tree:
            return
        if links > _MAX_HOPS:
            raise RenderFailed("symbolic links lead in circles", where=printable(path))
        for entry in self.tree.walk(self.commit, found.path):
            self._meet(entry)
            below = posixpath.join(path, entry.path[len(found.path) :].lstrip("/"))
            if entry.is_file:
                self._count()
                yield below, entry
            elif entry.is_link:
                behind = self.find(entry.path)
                if behind is not None:
                    yield from self._leaves(below, behind, links + 1)

    def _count(self) -> None:
        # Links count too: a few that lead to each other twofold are a million ways.
        self._copied_files += 1
        if self._copied_files > self.limits.copied_files:
            raise RenderFailed(f"more than {self.limits.copied_files} files are needed for this source")

    def _read(self, files: Sequence[tuple[str, str]]) -> list[bytes]:
        try:
            found = self.tree.read_many([id_ for _, id_ in files], self.limits.file_bytes)
        except GitRefused as error:
            where = next((name for name, id_ in files if id_ in str(error)), "")
            raise RenderFailed(
                f"is larger than {self.limits.file_bytes} bytes: split or exclude it", where=printable(where)
            ) from error
        return [found[id_] for _, id_ in files]

    def _folder(self, path: str) -> dict[str, Entry]:
        found = self._folders.get(path)
        if found is None:
            found = {entry.path: entry for entry in self.tree.walk(self.commit, path, False)}
            self._folders[path] = found
        return found

    def _target(self, link: Entry) -> str:
        return self.tree.read_many([link.id], 4096)[link.id].decode(errors="replace")

    def _noted(self, path: str) -> Entry | None:
        found = self._entry(path)
        self._note(path, found.id if found else None)
        return found

    def _entry(self, path: str) -> Entry | None:
        if not path:
            id_ = self.tree.tree_id(self.commit, "")
            return None if id_ is None else Entry("", _ROOT_MODE, id_)
        return self._folder(posixpath.dirname(path)).get(path)

    def _meet(self, entry: Entry) -> None:
        """Of a submodule, what is there depends on what the repository tells of it, too."""
        if entry.is_submodule or isinstance(entry, Graft):
            if not any(entry.path.startswith(f"{graft}/") for graft in self._grafts):
                self._grafts[entry.path] = entry.id
            if _MODULES not in self._reads:
                self._note(_MODULES, self.tree.tree_id(self.commit, _MODULES))

    def _note(self, path: str, id_: str | None) -> None:
        graft = next((graft for graft in self._grafts if path.startswith(f"{graft}/")), "")
        self._reads[graft or path] = self._grafts[graft] if graft else id_


def digest_of(tree: Tree, commit: str) -> str:
    """What stands for all that can be read of a commit of another repository."""
    return "+".join((commit, *tree.shaped_by))


def ids_of(tree: Tree, commit: str, paths: Iterable[str]) -> dict[str, str | None]:
    """The Git ids of what is at `paths`, None where nothing is, and of COMMIT that; in few questions."""
    asked = set(paths)
    itself: dict[str, str | None] = {COMMIT: commit} if COMMIT in asked else {}
    asked -= itself.keys()
    if isinstance(tree, TreeReader):
        return tree.tree_ids(commit, asked) | itself
    return {path: tree.tree_id(commit, path) for path in asked} | itself


def _leads_out(path: str) -> RenderFailed:
    return RenderFailed(
        "a symbolic link leads out of the repository: replace it by the file", where=printable(path)
    )

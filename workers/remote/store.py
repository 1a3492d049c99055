"""Unpacked archives on disk: one file each, written whole or not at all, the oldest unused ones given up.

Nothing lies there under a name, mode or link that a stranger chose, so none of them can be a danger there
(CVE-2023-40584 left directories that could not be deleted). Each content is checked against its id when it is
read: what a disk has spoilt is thrown away and fetched again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import orjson

from mooring.errors import GitRefused, RemoteFailed
from workers.git.tree import Entry, clean_path
from workers.remote.archive import Pack, id_of

_MAGIC: Final = b"mooring pack 1\n"
_FOLDER: Final = 0o040000
_ROOM: Final = 1 << 30  # bytes of all packs together
_ABANDONED: Final = 3600.0  # seconds after which half a file has no writer any more


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the pack's file a content is."""

    offset: int
    size: int


class ArchiveTree:
    """The files of one unpacked archive, as `workers.render.files.Tree`. There is one commit, whatever it is
    called. Safe to use from several threads."""

    def __init__(self, path: Path, entries: Iterable[Entry], places: Mapping[str, _Place]) -> None:
        """`entries` are the files and links. Made by `Store`."""
        self._path = path
        self._places = places
        self._folders, self._root = _folders(entries)
        self._entries = {entry.path: entry for inside in self._folders.values() for entry in inside}

    @property
    def shaped_by(self) -> tuple[str, ...]:
        """Nothing: an archive is what it is."""
        return ()

    def tree_id(self, commit: str, path: str) -> str | None:
        """The id of what is at `path` (a directory, file or link), or None when nothing is."""
        path = clean_path(path)
        if not path:
            return self._root
        entry = self._entries.get(path)
        return entry.id if entry else None

    def walk(self, commit: str, path: str = "", recurse: bool = True) -> Iterator[Entry]:
        """What is below the directory `path`, one level at a time; nothing when there is no such one."""
        level = [clean_path(path)]
        while level:
            below = list[str]()
            for folder in level:
                for entry in self._folders.get(folder, ()):
                    yield entry
                    if entry.is_tree:
                        below.append(entry.path)
            level = below if recurse else []

    def read_many(self, ids: Sequence[str], limit: int) -> dict[str, bytes]:
        """Bytes by id. Raises GitRefused when one has more than `limit`, RemoteFailed when they are not there
        any more: the next try fetches them again."""
        found: dict[str, bytes] = {}
        try:
            with self._path.open("rb") as file:
                for id_ in dict.fromkeys(ids):
                    place = self._places[id_]
                    if place.size > limit:
                        raise GitRefused(f"{id_} has {place.size} bytes, more than the limit of {limit}")
                    file.seek(place.offset)
                    found[id_] = file.read(place.size)
                    if id_of(found[id_]) != id_:
                        self._path.unlink(missing_ok=True)
                        raise RemoteFailed("an unpacked archive is damaged on disk: it is fetched again")
        except (OSError, KeyError) as error:
            raise RemoteFailed("an unpacked archive is not here any more: it is fetched again") from error
        return found

    def prepare(self, ids: Sequence[str]) -> None:
        """Everything is here."""


class Store:
    """Packs below one directory, which any number of processes may use at once."""

    def __init__(self, directory: Path, room: int = _ROOM) -> None:
        """`room` is how many bytes all packs together may have."""
        self._directory = directory
        self._room = room
        self._lock = threading.Lock()

    def open(self, key: str) -> ArchiveTree | None:
        """The pack that was kept under `key`; None when there is none, or none that can be read."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                found = _read(path, file)
            os.utime(path)  # the packs that go first are those that nobody opened for longest
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        return found

    def keep(self, key: str, pack: Pack) -> ArchiveTree:
        """Writes a pack under `key`, and gives up old ones where there is no room for all.

        Raises RemoteFailed when the disk does not take it.
        """
        path = self._path(key)
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=self._directory, prefix="new-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    _write(file, pack)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            self._make_room(path)
        except OSError as error:
            raise RemoteFailed(f"what was fetched cannot be kept in {self._directory}: {error}") from error
        found = self.open(key)
        if found is None:
            raise RemoteFailed(f"what was fetched cannot be read again from {self._directory}")
        return found

    def _path(self, key: str) -> Path:
        return self._directory / hashlib.sha256(key.encode()).hexdigest()

    def _make_room(self, newest: Path) -> None:
        with self._lock:
            now, files = time.time(), list[tuple[float, int, Path]]()
            for path in self._directory.iterdir():
                with contextlib.suppress(OSError):
                    told = path.stat()
                    if not path.name.startswith("new-"):
                        files.append((told.st_mtime, told.st_size, path))
                    elif now - told.st_mtime > _ABANDONED:
                        path.unlink(missing_ok=True)
            taken = sum(size for _, size, _ in files)
            for _, size, path in sorted(files):
                if taken <= self._room:
                    return
                if path != newest:
                    path.unlink(missing_ok=True)
                    taken -= size


def _write(file: IO[bytes], pack: Pack) -> None:
    contents = {member.id: member.data for member in pack.members.values()}
    header = orjson.dumps(
        [
            [[path, member.mode, member.id] for path, member in pack.members.items()],
            [[id_, len(data)] for id_, data in contents.items()],
        ]
    )
    file.write(_MAGIC + hashlib.sha256(header).digest() + len(header).to_bytes(8, "big") + header)
    for data in contents.values():
        file.write(data)


def _read(path: Path, file: IO[bytes]) -> ArchiveTree:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("not a pack")
    digest, length = file.read(32), int.from_bytes(file.read(8), "big")
    header = file.read(length)
    if hashlib.sha256(header).digest() != digest:
        raise ValueError("damaged")
    members, contents = orjson.loads(header)
    places, at = dict[str, _Place](), file.tell()
    for id_, size in contents:
        places[id_] = _Place(at, size)
        at += size
    if os.fstat(file.fileno()).st_size != at:
        raise ValueError("cut short")
    return ArchiveTree(path, [Entry(name, mode, id_) for name, mode, id_ in members], places)


def _folders(entries: Iterable[Entry]) -> tuple[dict[str, list[Entry]], str]:
    """What is directly in each directory, other directories among it, by name; and the id of the root."""
    within: dict[str, dict[str, Entry]] = {"": {}}
    for entry in entries:
        folder = posixpath.dirname(entry.path)
        within.setdefault(folder, {})[entry.path] = entry
        while folder:
            folder = posixpath.dirname(folder)
            within.setdefault(folder, {})
    folders, id_ = dict[str, list[Entry]](), ""
    for folder in sorted(within, key=lambda folder: folder.count("/") + bool(folder), reverse=True):
        inside = sorted(within[folder].values(), key=lambda entry: entry.path)
        # The deepest first: the id of a directory is made of what is in it.
        id_ = id_of(orjson.dumps([(entry.name, entry.mode, entry.id) for entry in inside]))
        folders[folder] = inside
        if folder:
            within[posixpath.dirname(folder)][folder] = Entry(folder, _FOLDER, id_)
    return folders, id_

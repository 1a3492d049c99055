"""Unpacks a tar or tar.gz that strangers made, into memory and without a name of theirs on any disk.

Python's tarfile is left aside: it has had endless loops and quadratic regular expressions for the crafted
archive (CVE-2025-8194, CVE-2024-6232), follows formats that nobody packs charts in, and takes what
contradicts itself. This reader knows files, directories and links in the formats of POSIX and GNU, and
refuses the rest.

https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13
"""

from __future__ import annotations

import hashlib
import posixpath
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mooring.errors import RemoteRefused
from mooring.text import printable

FILE: Final = 0o100644
PROGRAM: Final = 0o100755
LINK: Final = 0o120000

_BLOCK: Final = 512
_GZIP: Final = b"\x1f\x8b"
_PIECE: Final = 1 << 16
_FREE: Final = 4 << 20  # up to here nobody asks how far it expands: files of zeros are small
_MAX_DEPTH: Final = 64
_MAX_PATH: Final = 4096
_MAX_HEADER: Final = 1 << 20  # of extended headers: paths, and what other tools add


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an archive may hold. Helm takes 100 MiB of a chart, and so do we of everything."""

    total_bytes: int = 100 << 20
    files: int = 20_000
    ratio: int = 800  # unpacked bytes per packed one


@dataclass(frozen=True, slots=True)
class Member:
    """A file or a symbolic link. `id` is made of the content: equal ids, equal bytes."""

    mode: int
    id: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pack:
    """What an archive holds, by path with `/`: a file is never above another, and links lead to within."""

    members: Mapping[str, Member]

    def without_top(self) -> Pack:
        """What is in the one directory that everything is in, as Helm packs a chart. Raises RemoteRefused
        when it is not so."""
        tops = {path.partition("/")[0] for path in self.members}
        if len(tops) != 1 or any("/" not in path for path in self.members):
            raise RemoteRefused("it is no chart: a chart's archive holds one directory and nothing beside it")
        return Pack({path.partition("/")[2]: member for path, member in self.members.items()})


def id_of(data: bytes) -> str:
    """40 hexadecimal digits, as a Git id has: half of a SHA-256, which nobody can make collide."""
    return hashlib.sha256(data).hexdigest()[:40]


def unpack(archive: bytes, bounds: Bounds = Bounds()) -> Pack:
    """The files of a tar, or of one that is compressed by gzip.

    Raises RemoteRefused when it is damaged, too much, or holds what no chart and no manifests need: paths
    and links that lead out, devices, two things of one name.
    """
    return _Reader(_Stream(archive, bounds), bounds).pack()


class _Stream:
    """The bytes of the tar, unpacked as they are asked for: a bomb goes off a piece at a time."""

    def __init__(self, archive: bytes, bounds: Bounds) -> None:
        self._pieces = _inflated(archive) if archive.startswith(_GZIP) else iter((archive,))
        self._most = bounds.total_bytes
        self._steep = max(_FREE, len(archive) * bounds.ratio)
        self._buffer = b""
        self._at = 0
        self._given = 0

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes; fewer only at the end."""
        if self._given + size > self._most:
            raise RemoteRefused(f"it unpacks to more than the limit of {self._most >> 20} MiB")
        parts, missing = list[bytes](), size
        while missing:
            if self._at == len(self._buffer):
                self._buffer, self._at = next(self._pieces, b""), 0
                if not self._buffer:
                    break
            part = self._buffer[self._at : self._at + missing]
            parts.append(part)
            self._at += len(part)
            missing -= len(part)
            self._given += len(part)
            if self._given > self._steep:
                raise RemoteRefused("it unpacks to 800 times its size and more: a bomb, not a chart")
        return b"".join(parts)


def _inflated(archive: bytes) -> Iterator[bytes]:
    # https://www.rfc-editor.org/rfc/rfc1952: members may follow each other, then zeros.
    at, inflater = 0, zlib.decompressobj(wbits=31)
    fed = b""
    try:
        while True:
            if not fed:
                fed, at = archive[at : at + _PIECE], at + _PIECE
            if inflater.eof:
                fed = fed.lstrip(b"\0")
                if fed:
                    inflater = zlib.decompressobj(wbits=31)
                elif at >= len(archive):
                    return
                else:
                    continue
            if not fed:
                raise RemoteRefused("it is cut short")
            piece = inflater.decompress(fed, _PIECE)
            fed = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            if piece:
                yield piece
    except zlib.error as error:
        raise RemoteRefused("it is damaged: no proper gzip") from error


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    mode: int
    size: int
    kind: bytes
    target: str


class _Reader:
    def __init__(self, stream: _Stream, bounds: Bounds) -> None:
        self._stream = stream
        self._bounds = bounds
        self._members: dict[str, Member] = {}
        self._folders: set[str] = set()
        self._count = 0

    def pack(self) -> Pack:
        for header in self._headers():
            self._count += 1
            if self._count > self._bounds.files:
                raise RemoteRefused(f"it holds more than {self._bounds.files} files")
            self._take(header)
        for path, member in self._members.items():
            if member.mode == LINK:
                _check_link(path, member.data.decode())
        return Pack(dict(sorted(self._members.items())))

    def _take(self, header: _Header) -> None:
        path = _checked_path(header.name)
        # A name with a slash at its end is a directory in the oldest archives.
        if header.kind == b"5" or (header.kind in (b"0", b"\0") and header.name.endswith("/")):
            self._data(header)
            self._make_folder(path, header.name)
        elif header.kind in (b"0", b"\0", b"7"):
            data = self._data(header)
            self._put(path, Member(PROGRAM if header.mode & 0o100 else FILE, id_of(data), data))
        elif header.kind == b"2":
            data = header.target.encode()
            self._put(path, Member(LINK, id_of(data), data))
        elif header.kind == b"1":
            linked = self._members.get(_checked_path(header.target))
            if linked is None or linked.mode == LINK:
                raise RemoteRefused(f"{printable(header.name)} is a hard link to no file of the archive")
            self._put(path, linked)
        else:
            raise RemoteRefused(f"{printable(header.name)} is a device or the like: only files are taken")

    def _put(self, path: str, member: Member) -> None:
        if not path or path in self._members or path in self._folders:
            raise RemoteRefused(f"it holds {printable(path) or '.'} twice")
        self._make_folder(posixpath.dirname(path), path)
        self._members[path] = member

    def _make_folder(self, path: str, name: str) -> None:
        while path and path not in self._folders:
            if path in self._members:
                raise RemoteRefused(f"{printable(name)} is below {printable(path)}, which is no directory")
            self._folders.add(path)
            path = posixpath.dirname(path)

    def _headers(self) -> Iterator[_Header]:
        """Each header with what extended headers before it say; its data must be read by `_data`."""
        longer: dict[str, str] = {}
        while True:
            block = self._stream.read(_BLOCK)
            if block and not block.strip(b"\0"):
                # The end. What follows says nothing any more, but what is compressed must be whole.
                while self._stream.read(_PIECE):
                    pass
                return
            header = _parse(block)
            if header.kind in (b"x", b"g"):
                told = _extended(self._data(header, _MAX_HEADER))
                if header.kind == b"x":  # a global header names no file: git writes its commit there
                    longer |= told
            elif header.kind in (b"L", b"K"):
                text = _text(self._data(header, _MAX_HEADER).rstrip(b"\0"))
                longer["path" if header.kind == b"L" else "linkpath"] = text
            else:
                size = longer.get("size", "")
                if size and not (size.isascii() and size.isdigit() and len(size) < 16):
                    raise RemoteRefused("it is damaged: a size is no number")
                yield replace(
                    header,
                    name=longer.get("path", header.name),
                    target=longer.get("linkpath", header.target),
                    size=int(size) if size else header.size,
                )
                longer = {}

    def _data(self, header: _Header, limit: int | None = None) -> bytes:
        if limit is not None and header.size > limit:
            raise RemoteRefused("it has a header that is too large")
        data = self._stream.read(header.size)
        padding = -header.size % _BLOCK
        if len(data) != header.size or len(self._stream.read(padding)) != padding:
            raise RemoteRefused("it is cut short")
        return data


def _parse(block: bytes) -> _Header:
    if len(block) != _BLOCK:
        raise RemoteRefused("it is cut short")
    if _octal(block[148:156]) != sum(block[:148]) + sum(block[156:]) + 8 * ord(" "):
        raise RemoteRefused("it is damaged: no proper tar")
    name = _text(block[:100].partition(b"\0")[0])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500].partition(b"\0")[0])):
        name = f"{prefix}/{name}"
    return _Header(
        name,
        _octal(block[100:108]),
        _octal(block[124:136]),
        block[156:157],
        _text(block[157:257].partition(b"\0")[0]),
    )


def _octal(field: bytes) -> int:
    text = field.strip(b" \0")
    if not text:
        return 0
    if not all(48 <= byte < 56 for byte in text):  # base 256 is for what is larger than any limit
        raise RemoteRefused("it is damaged: a number in it is none")
    return int(text, 8)


def _extended(data: bytes) -> dict[str, str]:
    """Records of the form "LENGTH KEY=VALUE\\n" of which we know three."""
    told: dict[str, str] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        length = data[at:space] if space > 0 else b""
        end = at + int(length) if length.isdigit() else 0
        if not space < end <= len(data) or data[end - 1 : end] != b"\n":
            raise RemoteRefused("it is damaged: an extended header is none")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals:
            raise RemoteRefused("it is damaged: an extended header is none")
        if key.startswith(b"GNU.sparse"):
            raise RemoteRefused("it holds a sparse file: pack it plainly")
        if key in (b"path", b"linkpath", b"size"):
            told[key.decode()] = _text(value)
        at = end
    return told


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise RemoteRefused(f"it has a name that is not UTF-8: {printable(repr(name))[:200]}") from error


def _checked_path(name: str) -> str:
    """From the root of the archive, without `.` and double slashes; "" for the root itself."""
    shown = printable(name)[:200]
    if name.startswith("/"):
        raise RemoteRefused(f"{shown!r} is an absolute path")
    steps = [step for step in name.split("/") if step not in ("", ".")]
    if ".." in steps:
        raise RemoteRefused(f"{shown!r} leads out of the archive")
    if "\\" in name or any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise RemoteRefused(f"{shown!r} has a backslash or control character in it")
    if len(steps) > _MAX_DEPTH or len(name) > _MAX_PATH or any(len(step.encode()) > 255 for step in steps):
        raise RemoteRefused(f"{shown!r} is too long or too deep")
    if any(step.lower() == ".git" for step in steps):
        raise RemoteRefused(f"{shown!r} is named as a Git repository's own files: remove it")
    return "/".join(steps)


def _check_link(path: str, target: str) -> None:
    steps = posixpath.normpath(posixpath.join(posixpath.dirname(path), target)).split("/")
    if target.startswith("/") or not target or "\0" in target or steps[0] == "..":
        raise RemoteRefused(f"{printable(path)} is a symbolic link that leads out of the archive")

"""Files that a repository keeps beside Git: a pointer is in the tree, the content at the host's LFS server.

Nothing of git-lfs runs. `.lfsconfig`, by which a repository could name another server, is not read.
https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from mooring.errors import GitFailed, GitRefused, RemoteFailed, RemoteRefused
from workers.git.credentials import Credential
from workers.git.remote import Remote
from workers.remote.http import Access, Client, endpoint_of

_LONGEST: Final = 1024  # of a pointer, by its specification
_POINTER: Final = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>[0-9]{1,15})\n"
)
_TYPE: Final = "application/vnd.git-lfs+json"
_ANSWER_LIMIT: Final = 4 << 20
_TOGETHER_S: Final = 90.0
_UNUSED_S: Final = 7 * 86_400
# What of the headers that an answer asks for would change the request itself.
_OURS: Final = frozenset(
    ("host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "expect")
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """What stands in the tree for a file of `size` bytes whose SHA-256 is `oid`."""

    oid: str
    size: int

    @classmethod
    def parse(cls, data: bytes) -> Pointer | None:
        """None for every other file."""
        found = _POINTER.fullmatch(data) if len(data) < _LONGEST else None
        return cls(found["oid"].decode(), int(found["size"])) if found else None


class Lfs:
    """The large files of one repository, as one credential sees them, kept in `home` by their digests."""

    def __init__(
        self, home: Path, remote: Remote, credential: Credential, hosts: Collection[str] = ()
    ) -> None:
        """`hosts` may be in a private network although the LFS server names them."""
        self._home = home
        self._remote = remote
        self._credential = credential
        self._client = Client(hosts)

    def filled(self, blobs: Mapping[str, bytes], limit: int) -> dict[str, bytes]:
        """The blobs, by their Git ids, with the content in place of each pointer.

        Raises GitRefused when one is larger than `limit` or cannot be had, GitFailed when it may be later.
        """
        pointers = {id_: found for id_, data in blobs.items() if (found := Pointer.parse(data))}
        for id_, pointer in pointers.items():
            if pointer.size > limit:
                raise GitRefused(f"object {id_} has {pointer.size} bytes, more than the limit of {limit}")
        missing = {pointer for pointer in pointers.values() if not self._kept(pointer)}
        if missing:
            self._fetch(missing)
        return {**blobs, **{id_: self._place(pointer).read_bytes() for id_, pointer in pointers.items()}}

    def sweep(self) -> None:
        """Removes what nobody has read for a week."""
        before = time.time() - _UNUSED_S
        for file in self._home.glob("??/*"):
            with contextlib.suppress(OSError):
                if file.stat().st_mtime < before:
                    file.unlink()

    def _place(self, pointer: Pointer) -> Path:
        return self._home / pointer.oid[:2] / pointer.oid

    def _kept(self, pointer: Pointer) -> bool:
        place = self._place(pointer)
        try:
            if place.stat().st_size != pointer.size:
                return False
            os.utime(place)  # it is used
        except OSError:
            return False
        return True

    def _fetch(self, pointers: Collection[Pointer]) -> None:
        deadline = time.monotonic() + _TOGETHER_S
        try:
            for pointer, action in self._actions(pointers, deadline):
                self._keep(pointer, self._download(pointer, action, deadline))
        except RemoteRefused as error:
            raise GitRefused(f"Git LFS: {error}") from error
        except RemoteFailed as error:
            raise GitFailed(f"Git LFS: {error}", after=error.after) from error

    def _actions(
        self, pointers: Collection[Pointer], deadline: float
    ) -> Iterator[tuple[Pointer, Mapping[str, Any]]]:
        """Where the server says that each of them is."""
        end = self._remote.endpoint
        if end.scheme not in ("https", "http"):
            raise GitRefused(
                f"Git LFS: {self._remote.url} is not asked over {end.scheme}: give the repository's https URL"
            )
        # https://github.com/git-lfs/git-lfs/blob/main/docs/api/server-discovery.md
        url = f"{self._remote.url.removesuffix('.git')}.git/info/lfs/objects/batch"
        asked = {
            "operation": "download",
            "transfers": ["basic"],
            "hash_algo": "sha256",
            "objects": [
                {"oid": each.oid, "size": each.size} for each in sorted(pointers, key=lambda p: p.oid)
            ],
        }
        answer = self._client.post(
            url,
            Access(end, self._credential, private=True),
            orjson.dumps(asked),
            limit=_ANSWER_LIMIT,
            deadline=deadline,
            headers={"Accept": _TYPE, "Content-Type": _TYPE},
        )
        wanted = {pointer.oid: pointer for pointer in pointers}
        try:
            told = {each["oid"]: each for each in orjson.loads(answer.body)["objects"]}
            for oid, pointer in wanted.items():
                each = told[oid]
                if "error" in each:
                    raise GitRefused(
                        f"Git LFS: the host has no object {oid[:12]}: code {each['error']['code']}"
                    )
                yield pointer, each["actions"]["download"]
        except (KeyError, TypeError, ValueError) as error:
            raise GitFailed(f"Git LFS: {self._remote.url} does not answer as its protocol has it") from error

    def _download(self, pointer: Pointer, action: Mapping[str, Any], deadline: float) -> bytes:
        href, told = action.get("href"), action.get("header") or {}
        if not isinstance(href, str) or not isinstance(told, dict):
            raise GitFailed(f"Git LFS: {self._remote.url} does not answer as its protocol has it")
        headers = {str(name): str(value) for name, value in told.items() if str(name).lower() not in _OURS}
        given = next((name for name in headers if name.lower() == "authorization"), None)
        there, own = endpoint_of(href), self._remote.endpoint
        # Ours is for the host of the repository alone, and only where the answer has none of its own.
        credential = self._credential if there == own else Credential()
        if there != own and there.scheme != "https":
            raise GitRefused("Git LFS: the host sends us to another that is not https")
        answer = self._client.get(
            href,
            Access(there, credential, private=there == own),
            limit=pointer.size,
            deadline=deadline,
            authorization=headers.pop(given) if given else None,
            headers=headers,
        )
        return answer.body

    def _keep(self, pointer: Pointer, data: bytes) -> None:
        if len(data) != pointer.size or hashlib.sha256(data).hexdigest() != pointer.oid:
            raise GitRefused(
                f"Git LFS: what the host has for {pointer.oid[:12]} is not what the repository names"
            )
        place = self._place(pointer)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".new-", delete=False) as file:
            try:
                file.write(data)
                file.close()
                Path(file.name).replace(place)
            except OSError as error:
                Path(file.name).unlink(missing_ok=True)
                raise GitFailed(f"Git LFS: {error.strerror}; is the disk full?", after=30) from error

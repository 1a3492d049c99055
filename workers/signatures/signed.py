"""What of a commit or an annotated tag is signed, and by which signature. Pure.

https://git-scm.com/docs/gitformat-signature
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_PGP: Final = (b"-----BEGIN PGP SIGNATURE-----", b"-----BEGIN PGP MESSAGE-----")
_SSH: Final = (b"-----BEGIN SSH SIGNATURE-----",)
_X509: Final = (b"-----BEGIN SIGNED MESSAGE-----",)
_BEGINS: Final = re.compile(
    rb"^(?:" + b"|".join(map(re.escape, (*_PGP, *_SSH, *_X509))) + rb")", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Signed:
    """The bytes that were signed, and the signature of them, which is empty where nobody signed."""

    payload: bytes
    signature: bytes

    @property
    def by(self) -> str:
        """With what it was signed: `gpg`, `ssh`, something else, or "" for with nothing."""
        for name, begins in (("gpg", _PGP), ("ssh", _SSH), ("x509", _X509)):
            if self.signature.startswith(begins):
                return name
        return "something else" if self.signature else ""


def of_commit(data: bytes) -> Signed:
    """A commit, as Git keeps it. All of it is signed but for the signature itself, which is a header.

    Raises ValueError where it is not clear what was signed.
    """
    head, separator, message = data.partition(b"\n\n")
    payload: list[bytes] = []
    signatures: list[list[bytes]] = []
    taken = payload  # what lines that begin with a blank go on
    for line in head.split(b"\n"):
        if line.startswith(b" "):
            taken.append(line if taken is payload else line[1:])
        elif line.startswith(b"gpgsig "):
            taken = [line.removeprefix(b"gpgsig ")]
            signatures.append(taken)
        elif line.startswith(b"gpgsig-sha256 "):
            taken = []  # of the same commit under its other name, which nobody uses here
        else:
            taken = payload
            taken.append(line)
    # What is deployed is the tree that the first line names: that line must be among what was signed.
    if len(signatures) > 1 or not data.startswith(b"tree ") or payload[0] != data.partition(b"\n")[0]:
        raise ValueError("its headers are not those of a commit that Git writes")
    lines = signatures[0] if signatures else []
    return Signed(b"\n".join(payload) + separator + message, b"".join(line + b"\n" for line in lines))


@dataclass(frozen=True, slots=True)
class Tag:
    """An annotated tag: the name that it gives to what, a `commit` as a rule, and who says so."""

    name: str
    type: str
    object: str
    signed: Signed


def of_tag(data: bytes) -> Tag:
    """An annotated tag, as Git keeps it: its signature is its end. Raises ValueError for what is none."""
    head = data.partition(b"\n\n")[0]
    fields = [line.partition(b" ") for line in head.split(b"\n")[:3]]
    if [name for name, _, _ in fields] != [b"object", b"type", b"tag"]:
        raise ValueError("its headers are not those of a tag that Git writes")
    object_, type_, name = (value.decode(errors="replace") for _, _, value in fields)
    begins = [found.start() for found in _BEGINS.finditer(data)]
    end = begins[-1] if begins else len(data)
    return Tag(name, type_, object_, Signed(data[:end], data[end:]))

"""The public keys that signatures are checked with, and how a project names them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mooring.errors import Refused

GPG_KEYS: Final = "argocd-gpg-keys-cm"
SSH_SIGNERS: Final = "mooring-ssh-signers-cm"
ALLOWED_SIGNERS: Final = "allowed_signers"
_BEGIN: Final = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END: Final = "-----END PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True, slots=True)
class Keys:
    """`gpg`: the entries of ConfigMap argocd-gpg-keys-cm, as (name, armoured key). `ssh`: the lines of a file
    as `ssh-keygen -Y verify` wants it."""

    gpg: tuple[tuple[str, str], ...] = ()
    ssh: str = ""

    @property
    def digest(self) -> str:
        """Another one where any of the keys is another."""
        return _digest(self)

    def keyring(self) -> bytes:
        """All GPG keys, as a file for gpgv. Raises Refused naming an entry that is none."""
        return b"".join(_dearmoured(name, text) for name, text in self.gpg)


@lru_cache(maxsize=4)  # all applications of a project ask for it, again and again
def _digest(keys: Keys) -> str:
    return hashlib.sha256(repr((keys.gpg, keys.ssh)).encode()).hexdigest()[:32]


def _dearmoured(name: str, text: str) -> bytes:
    """The packets in an armoured key, of which there may be several.

    https://www.rfc-editor.org/rfc/rfc9580#name-forming-ascii-armor
    """
    packets = b""
    lines = iter(line.strip() for line in text.splitlines())
    for line in lines:
        if line != _BEGIN:
            continue
        body: list[str] = []
        for inner in lines:
            if inner == _END:
                break
            body.append(inner)
        if "" in body:  # headers end with an empty line
            body = body[body.index("") + 1 :]
        try:
            # Four digits after "=" are a checksum, which nobody has to look at.
            packets += base64.b64decode(
                "".join(part for part in body if not part.startswith("=")), validate=True
            )
        except ValueError as error:  # of base64, or of what is not even ASCII
            raise _none(name) from error
    if not packets:
        raise _none(name)
    return packets


def _none(name: str) -> Refused:
    return Refused(
        f"ConfigMap {GPG_KEYS}: {name[:80]} is no armoured GPG public key: `gpg --export --armor` gives one",
        condition="ComparisonError",
    )

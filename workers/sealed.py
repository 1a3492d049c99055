"""Seals what must be kept where others may look: only this installation reads it again, and only unchanged.

AES-256-GCM with a key derived from the installation's, one for each purpose, so that nothing sealed for one
can stand in for something of another.
https://csrc.nist.gov/pubs/sp/800/38/d/final, https://www.rfc-editor.org/rfc/rfc5869
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE: Final = 12


class Seal:
    """Seals and opens for one purpose. Safe for threads."""

    def __init__(self, key: bytes, purpose: str) -> None:
        """`key` is the installation's; `purpose` separates one use of it from the others."""
        derived = HKDF(SHA256(), 64, salt=None, info=f"mooring {purpose}".encode()).derive(key)
        self._cipher = AESGCM(derived[:32])
        self._names = derived[32:]

    def seal(self, name: str, data: bytes) -> bytes:
        """`data`, to be opened under the same name only."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes | None:
        """Inverse of `seal`; None for whatever this installation did not seal under this name."""
        if len(sealed) < _NONCE:
            return None
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
        except InvalidTag:
            return None

    def name(self, value: Any) -> str:
        """A digest of any JSON value, 64 hexadecimal digits. Whoever has no key cannot find out by trying
        which value it is of."""
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return hmac.new(self._names, text, hashlib.sha256).hexdigest()

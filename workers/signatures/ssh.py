"""Checks an SSH signature with ssh-keygen, as git does.

https://man.openbsd.org/ssh-keygen#Y
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from workers.confine.run import Bounds, Command, ToolFailed, run
from workers.signatures.keys import ALLOWED_SIGNERS, SSH_SIGNERS, Keys
from workers.signatures.signed import Signed

_GOOD: Final = re.compile(
    rb'^Good "git" signature for .* with \S+ key (SHA256:[A-Za-z0-9+/]{43})$', re.MULTILINE
)
_PRINCIPALS: Final = 10  # that one key is tried with


def why_not(
    signed: Signed, keys: Keys, wanted: Collection[str], tool: Path, directory: Path, bounds: Bounds
) -> str:
    """Why it is not signed by one of the `wanted` keys (`SHA256:…`); "" where it is.

    `directory` is an empty one of its own. Raises as `confine.run`.
    """
    key = fingerprint(signed.signature)
    if not key:
        return "its SSH signature cannot be read"
    (directory / "signers").write_text(keys.ssh)
    (directory / "signature").write_bytes(signed.signature)

    def ask(*words: str, given: bytes = b"") -> bytes:
        argv = (str(tool), "-Y", *words, "-f", "signers", "-s", "signature")
        try:
            return run(Command(argv, directory, stdin=given), bounds).stdout
        except ToolFailed as error:
            if error.killed:
                raise
            return b""

    known = [name for name in ask("find-principals").decode(errors="replace").splitlines() if name]
    if not known:
        file = f"{ALLOWED_SIGNERS} in ConfigMap {SSH_SIGNERS}"
        return f"it is signed by SSH key {key}, for which {file} has no line that is valid now"
    for principal in known[:_PRINCIPALS]:
        good = _GOOD.search(ask("verify", "-n", "git", "-I", principal, given=signed.payload))
        if good is None:
            continue
        if good[1].decode() in wanted:
            return ""
        return f"it is signed by SSH key {good[1].decode()}, which the project does not list"
    return f"its signature by SSH key {key} is not of these contents, or that key may not sign for Git"


def fingerprint(signature: bytes) -> str:
    """Of the key that the signature says it is by, as `ssh-keygen -l` shows it; "" where it says nothing.

    https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig
    """
    try:
        blob = base64.b64decode(b"".join(signature.strip().split(b"\n")[1:-1]), validate=True)
    except binascii.Error:
        return ""
    if blob[:6] != b"SSHSIG" or len(blob) < 14:
        return ""
    size = int.from_bytes(blob[10:14])
    digest = hashlib.sha256(blob[14 : 14 + size]).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

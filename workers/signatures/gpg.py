"""Checks a GPG signature with gpgv, a program that does nothing else: it has no agent, no trust database and
no keys but those that it is given.

https://www.gnupg.org/documentation/manuals/gnupg/gpgv.html
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from workers.confine.run import Bounds, Command, ToolFailed, run
from workers.signatures.keys import GPG_KEYS, Keys
from workers.signatures.signed import Signed

_LINE: Final = re.compile(r"^\[GNUPG:\] (\S+) ?(.*)$", re.MULTILINE)
# https://github.com/gpg/gnupg/blob/master/doc/DETAILS: ERRSIG … <rc>
_UNKNOWN: Final = "9"
_NOT_GOOD: Final = {
    "BADSIG": "its signature by GPG key {} is not of these contents",
    "EXPSIG": "its signature by GPG key {} has expired",
    "EXPKEYSIG": "it is signed by GPG key {}, which has expired",
    "REVKEYSIG": "it is signed by GPG key {}, which was revoked",
}


def why_not(
    signed: Signed, keys: Keys, wanted: Collection[str], tool: Path, directory: Path, bounds: Bounds
) -> str:
    """Why it is not signed by one of the `wanted` keys (ids or fingerprints in capitals); "" where it is.

    `directory` is an empty one of its own. Raises as `confine.run`, and Refused for a key that is none.
    """
    for name, content in (
        ("keys", keys.keyring()),
        ("signature", signed.signature),
        ("payload", signed.payload),
    ):
        (directory / name).write_bytes(content)
    argv = (str(tool), "--status-fd", "1", "--keyring", "./keys", "signature", "payload")
    try:
        said = run(Command(argv, directory, env={"GNUPGHOME": str(directory)}), bounds).stdout
    except ToolFailed as error:
        if error.killed:
            raise
        said = error.stdout
    return judge(said.decode(errors="replace"), wanted)


def judge(status: str, wanted: Collection[str]) -> str:
    """The same, of what gpgv says. Pure. One signature must be there, and it must be good."""
    lines = _LINE.findall(status)
    verdicts = [(word, rest.split(" ")) for word, rest in lines if word in ("GOODSIG", "ERRSIG", *_NOT_GOOD)]
    valid = [rest.split(" ") for word, rest in lines if word == "VALIDSIG"]
    for word, rest in verdicts:
        if word in _NOT_GOOD:
            return _NOT_GOOD[word].format(rest[0])
        if word == "ERRSIG":
            if rest[5:6] == [_UNKNOWN]:
                return f"it is signed by GPG key {rest[0]}, which ConfigMap {GPG_KEYS} does not have"
            return f"its signature by GPG key {rest[0]} cannot be checked: its algorithm is not supported"
    if len(verdicts) != 1 or len(valid) != 1:
        return "its GPG signature cannot be read"
    fingerprints = {
        valid[0][0],
        valid[0][-1],
    }  # of the key itself, and of the primary one whose subkey it may be
    if any(fingerprint.endswith(key) for fingerprint in fingerprints for key in wanted if len(key) >= 16):
        return ""
    return f"it is signed by GPG key {verdicts[0][1][0]}, which the project does not list"

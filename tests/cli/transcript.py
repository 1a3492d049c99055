"""What people see of a command, kept as a file: `GOLDEN=write` in the environment writes it anew.

What differs from run to run becomes something of the same length, so that columns stay columns.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]

_GOLDEN = Path(__file__).parent / "golden"
# Progress is told as it happens, and that is never twice the same.
_PROGRESS = re.compile(r"^(sync of|end of|waiting for|normal refresh of|hard refresh of) .*\n", re.M)
_VARIABLE = (
    (re.compile(r"\b[0-9a-f]{40}\b"), "c" * 40),
    (re.compile(r"\b[0-9a-f]{12}\b"), "c" * 12),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2000-01-01T00:00:00Z"),
    (re.compile(r"http://127\.0\.0\.1:\d{5}/repo-[0-9a-f]{10}"), "http://127.0.0.1:12345/repo-0123456789"),
    (re.compile(r"mooring.dev/id: [a-z2-7]{8}/"), "mooring.dev/id: abcdefgh/"),
    (re.compile(r"applyset-[-\w]{43}-v1"), f"applyset-{'a' * 43}-v1"),
    (re.compile(r"https://127\.0\.0\.1:\d{5}"), "https://127.0.0.1:12345"),
    (re.compile(r"\btest-[0-9a-f]{10}(?![0-9a-f])"), "test-0123456789"),
    (re.compile(r"\bhome-[0-9a-f]{8}(?![0-9a-f])"), "home-01234567"),
)


class Transcript:
    """Commands and what they printed, as a terminal shows them."""

    def __init__(self, run: Run, also: Mapping[str, str] | None = None) -> None:
        self._run = run
        self._also = [(re.compile(pattern), text) for pattern, text in (also or {}).items()]
        self.text = ""

    def type(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Runs one command, as if it had been typed."""
        done = self._run(*arguments, given=given)
        words = " ".join(f"'{word}'" if re.search(r"[\s()!*]", word) else word for word in arguments)
        code = f"[exit code {done.returncode}]\n" if done.returncode else ""
        self.text += f"$ mooring {words}\n{done.stdout}{_PROGRESS.sub('', done.stderr)}{code}\n"
        return done

    def is_as(self, name: str) -> None:
        """Compares all that was typed and shown with the golden file `name`."""
        text = self.text
        for pattern, instead in (*self._also, *_VARIABLE):
            text = pattern.sub(instead, text)
        file = _GOLDEN / f"{name}.txt"
        if os.environ.get("GOLDEN") == "write":
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        assert text == file.read_text()

"""What a command opens, lists and looks for below a directory, as the kernel was asked: by strace."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STRACE: Final = (
    *("-f", "-y", "-qq", "-s", "4096"),
    *("-e", "trace=%file,getdents,getdents64", "-e", "signal=none"),
)
# 1234  openat(AT_FDCWD</work>, "a/b.yaml", O_RDONLY|O_CLOEXEC) = 3</work/a/b.yaml>
_CALL: Final = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<rest>.*)", re.DOTALL)
_TEXT: Final = r'"((?:[^"\\]|\\.)*)"'
_AT: Final = re.compile(rf"(AT_FDCWD|\d+)<([^>]*)>, {_TEXT}")
_PLAIN: Final = re.compile(_TEXT)
_LISTED: Final = re.compile(r"\d+<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Seen:
    """Paths from the directory that was watched, "" for itself."""

    asked: frozenset[str]  # opened, run, looked at, whether something was there or not
    listed: frozenset[str]


def watched(
    argv: Sequence[str], cwd: Path, environment: Mapping[str, str], log: Path
) -> tuple[subprocess.CompletedProcess[bytes], Seen]:
    """The command, run in `cwd`, and what it and its children asked for there."""
    done = subprocess.run(
        ["strace", *_STRACE, "-o", str(log), "--", *argv],
        cwd=cwd,
        env=environment,
        capture_output=True,
        check=False,
    )
    return done, _read(log.read_text(errors="replace"), os.path.realpath(cwd))


def _read(log: str, root: str) -> Seen:
    asked, listed = set[str](), set[str]()
    where: dict[str, str] = {}  # the working directory of each process

    def below(path: str) -> str | None:
        if ".." in path.split("/"):
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        path = "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
        if path == root:
            return ""
        return path[len(root) + 1 :] if path.startswith(f"{root}/") else None

    for line in log.splitlines():
        call = _CALL.match(line)
        if call is None:
            continue  # how a call ended whose beginning stands above
        pid, name, rest = call["pid"], call["name"], call["rest"]
        if name.startswith("getdents"):
            if (found := _LISTED.match(rest)) and (path := below(found[1])) is not None:
                listed.add(path)
            continue
        if at := _AT.search(rest):
            folder, text = at[2], at[3]
            if at[1] == "AT_FDCWD":
                where[pid] = folder
        elif plain := _PLAIN.search(rest):
            folder, text = where.get(pid, root), plain[1]
        else:
            continue
        full = os.path.join(folder, _unescaped(text))
        if name == "chdir":
            where[pid] = os.path.realpath(full)
        if (path := below(full)) is not None:
            asked.add(path)
    return Seen(frozenset(asked), frozenset(listed))


def _unescaped(text: str) -> str:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1").decode(errors="replace")

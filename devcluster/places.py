"""Where the devcluster keeps things: never inside the repository, never outside the user's own directories.

https://specifications.freedesktop.org/basedir-spec/latest/
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _base(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if Path(value).is_absolute() else Path.home() / fallback


def binaries() -> Path:
    """Directory of built programs; may be deleted at any time, at the price of a build."""
    return _base("XDG_CACHE_HOME", ".cache") / "mooring" / "bin"


def clusters() -> Path:
    """Directory that holds one directory per running or stopped devcluster."""
    return _base("XDG_STATE_HOME", ".local/state") / "mooring" / "devcluster"


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Only one process of this machine at a time is inside; the others wait. Freed by the kernel at exit."""
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

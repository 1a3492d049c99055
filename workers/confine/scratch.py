"""Directories in which one render does its work, surely gone afterwards.

A tool can leave directories that nobody may enter, or so deep that no path reaches the end, to fill a disk
for good (CVE-2023-40584). And a worker may be killed: whoever works in a directory holds a lock on it, which
ends with him.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_log = logging.getLogger("mooring")
_NAME: Final = "scratch"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch(state: Path) -> Iterator[Path]:
    """An empty directory below the state directory that nobody else may enter, removed at the end whatever is
    in it by then."""
    place = state.resolve() / _NAME
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(place, fcntl.LOCK_SH):  # nobody sweeps between the making and the lock
        made = Path(tempfile.mkdtemp(prefix="render-", dir=place))
        held = os.open(made, _DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_SH)
    try:
        yield made
    finally:
        try:
            _remove(made, held)
        except OSError as error:  # no reason to lose what was rendered; the next start tries again
            _log.warning("%s cannot be removed: %s", made, error)
        finally:
            os.close(held)


def sweep(state: Path) -> int:
    """Removes what killed workers left; how many directories that were."""
    place, removed = state.resolve() / _NAME, 0
    if not place.is_dir():
        return 0
    with _locked(place, fcntl.LOCK_EX):
        for left in place.iterdir():
            try:
                left.chmod(0o700)
                with _locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
                    _remove(left, held)
                removed += 1
            except BlockingIOError:
                continue  # somebody works in it
            except OSError as error:
                _log.warning("%s cannot be removed: %s", left, error)
    return removed


@contextmanager
def _locked(place: Path, how: int) -> Iterator[int]:
    descriptor = os.open(place, _DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)


def _remove(directory: Path, top: int) -> None:
    """Removes `directory`, open as `top`: from one name to the next, however long the path has become, and
    with two descriptors, however deep. Nobody else is in there any more."""
    os.fchmod(top, 0o700)
    here, waiting, way = os.dup(top), [_leave_directories(top)], list[str]()
    try:
        while True:
            if waiting[-1]:
                way.append(waiting[-1].pop())
                os.chmod(way[-1], 0o700, dir_fd=here)  # its own user may not enter it either
                here = _go(here, way[-1])
                waiting.append(_leave_directories(here))
            elif way:
                waiting.pop()
                here = _go(here, "..")
                os.rmdir(way.pop(), dir_fd=here)
            else:
                break
    finally:
        os.close(here)
    directory.rmdir()


def _leave_directories(here: int) -> list[str]:
    """Removes what is in a directory but for the directories, which it names."""
    directories = []
    with os.scandir(here) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=here)
    return directories


def _go(here: int, name: str) -> int:
    there = os.open(name, _DIRECTORY, dir_fd=here)
    os.close(here)
    return there

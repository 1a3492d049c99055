"""A tool inside namespaces, for kernels without Landlock: bubblewrap makes them, where it is allowed to.

https://github.com/containers/bubblewrap/blob/main/bwrap.xml
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from workers.confine.landlock import DEVICES, SYSTEM

FILTER_FD: Final = 9  # launch.py puts the filter there: bwrap needs calls that a tool must not make


def prefix(path: str, directory: Path, readable: Iterable[Path], cwd: Path) -> tuple[str, ...]:
    """What stands before a tool's argv."""
    return (path, *_namespaces(), *_view(directory, readable), "--chdir", str(cwd), "--")


def _namespaces() -> Iterator[str]:
    yield from ("--unshare-all", "--cap-drop", "ALL", "--die-with-parent")
    yield from ("--seccomp", str(FILTER_FD))


def _view(directory: Path, readable: Iterable[Path]) -> Iterator[str]:
    for system in SYSTEM:
        yield from ("--ro-bind-try", system, system)
    for each in readable:
        yield from ("--ro-bind", str(each), str(each))
    for device in DEVICES:
        yield from ("--dev-bind-try", device, device)
    yield from ("--bind", str(directory), str(directory))
    yield from ("--remount-ro", "/")

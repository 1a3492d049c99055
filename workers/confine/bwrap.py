"""A tool inside namespaces, for kernels without Landlock: bubblewrap makes them, where it is allowed to.

https://github.com/containers/bubblewrap/blob/main/bwrap.xml
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from workers.confine.landlock import DEVICES, SYSTEM

FILTER_FD: Final = 9  # launch.py puts the filter there: bwrap needs calls that a tool must not make


def prefix(
    path: str, directory: Path, readable: Iterable[Path], cwd: Path, env: Mapping[str, str]
) -> tuple[str, ...]:
    """What stands before a tool's argv. bwrap itself gets an empty environment: it is not confined, and a
    variable such as LD_PRELOAD would have it run what the repository brings."""
    variables = (word for name, value in env.items() for word in ("--setenv", name, value))
    return (path, *_namespaces(), *_view(directory, readable), *variables, "--chdir", str(cwd), "--")


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

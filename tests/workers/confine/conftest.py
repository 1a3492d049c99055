"""Hostile programs, run as a repository would have a tool run them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workers.confine.run import Bounds, Command, Output, python, run
from workers.confine.scratch import scratch

ROOMY = Bounds()

# Forked twice, its back turned on everybody; ends itself only when its child is at work.
DAEMON = """
import os, sys, time
def daemon():
    if os.fork(): return
    os.setsid()
    if os.fork(): os._exit(0)
    os.setsid()
    if os.fork(): os._exit(0)
    for fd in (0, 1, 2): os.close(fd)
    open("alive", "w").write(str(os.getpid()))
    time.sleep(1000)
daemon()
while not os.path.exists("alive") or not open("alive").read(): time.sleep(0.005)
"""

# As in a container whose runtime is older than Landlock: its filter says that there are no such calls.
WITHOUT_LANDLOCK = """
import ctypes, struct
instructions = [(0x20, 0, 0, 0), (0x35, 0, 2, 444), (0x25, 1, 0, 446), (6, 0, 0, 0x50026)]
instructions += [(6, 0, 0, 0x7FFF0000)]
code = b"".join(struct.pack("=HBBI", *one) for one in instructions)
class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(instructions), code)), 0, 0) == 0
"""


class Prison:
    """A scratch directory, and ways to have something run in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def python(
        self, code: str, *, bounds: Bounds = ROOMY, readable: tuple[Path, ...] = (), **options: Any
    ) -> Output:
        argv = (sys.executable, "-I", "-S", "-c", code)
        return run(Command(argv, self.directory, readable=(*python(), *readable), **options), bounds)

    def shell(self, script: str, *, bounds: Bounds = ROOMY, **options: Any) -> Output:
        return run(Command(("/bin/sh", "-c", script), self.directory, **options), bounds)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def prison(state: Path) -> Iterator[Prison]:
    with scratch(state) as directory:
        yield Prison(directory)

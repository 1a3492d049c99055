"""How many heaps a process has."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

_ARENA_MAX: Final = -8  # https://sourceware.org/git/?p=glibc.git;a=blob;f=malloc/malloc.h


def few_heaps() -> None:
    """To be called before a process starts threads: they share two heaps.

    The GNU C library gives each thread one of its own, and what one has given back no other uses: eight
    threads, each of which has read a long list once, keep the memory of eight. Python's threads seldom ask
    for memory at the same moment. Other C libraries have one heap, and are left alone.
    https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)

"""How many heaps a process has, and what it gives back."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

# https://sourceware.org/git/?p=glibc.git;a=blob;f=malloc/malloc.h
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
_LARGE: Final = 256 << 10  # bytes


def frugal() -> None:
    """To be called before a process starts threads: they share two heaps, and what is large is of none.

    The GNU C library gives each thread one of its own, and what one has given back no other uses: eight
    threads, each of which has read a long list once, keep the memory of eight. Python's threads seldom ask
    for memory at the same moment. And it takes what is large from the system, to be given back as it is, only
    until that has been given back once: then from a heap, which a list of some MB leaves full of holes.
    Other C libraries do neither, and are left alone.
    https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_ARENA_MAX, 2)
        mallopt(_MMAP_THRESHOLD, _LARGE)


def trim() -> None:
    """Give back what is free in the midst of a heap, where the C library can. A millisecond or two."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)

"""A process that does not outlive its parent. Linux only: elsewhere it may."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
# Before any fork: the child must not load or look for anything.
_PRCTL: Final = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent`, whose child it is, ends. https://man7.org/linux/man-pages/man2/prctl.2.html"""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # gone before we asked
            os._exit(1)

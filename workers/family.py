"""The processes of one worker: a parent that forks them and does nothing else, so that it takes no memory of
its own, and children that each take one task at a time.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PRCTL: Final = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # before any fork
_ORDERS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_AT_LEAST_S: Final = 1.0  # from a start of a child to the next one in its place


def keep(count: int, become: Callable[[int], None]) -> None:
    """Fork `count` children, each of which does what `become` does of its number, from 1.

    One that is killed is replaced. One that ends by itself ends all, and this process with its exit code:
    who started it knows how long to wait. SIGTERM and SIGINT let each of them finish what it is doing.
    """
    signal.signal(signal.SIGCHLD, lambda *_: None)  # by default it would not even be waited for
    signal.pthread_sigmask(signal.SIG_BLOCK, _ORDERS)
    family: dict[int, int] = {}
    started: dict[int, float] = {}
    code: int | None = None  # this process's, once all are to end
    while family or code is None:
        for number in set(range(1, count + 1)) - set(family.values()) if code is None else ():
            time.sleep(max(0.0, started.get(number, 0.0) + _AT_LEAST_S - time.monotonic()))
            started[number] = time.monotonic()
            family[_fork(become, number)] = number
        if signal.sigwait(_ORDERS) != signal.SIGCHLD:
            code = code or 0
            _end(family)
        while family:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            family.pop(pid, None)
            if code is None and (ended := os.waitstatus_to_exitcode(status)) >= 0:
                code = ended
                _end(family)
    sys.exit(code)


def _fork(become: Callable[[int], None], number: int) -> int:
    parent = os.getpid()
    if pid := os.fork():
        return pid
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _die_with(parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ORDERS)
    become(number)
    sys.exit()


def _end(family: dict[int, int]) -> None:
    for pid in family:
        os.kill(pid, signal.SIGTERM)


def _die_with(parent: int) -> None:
    """A child whose parent was killed must not go on: its lease would be kept alive."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

"""Ends a render that takes too long, whatever it is at: a tool, a file of ten megabytes, another host."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class _Late(BaseException):  # no block that passes over errors may pass over it
    pass


@contextmanager
def within(seconds: float, late: Callable[[], Exception]) -> Iterator[None]:
    """The block is ended once it has taken `seconds`; then what `late` makes is raised.

    Inside of another such block, the outer one alone counts. It needs signals, which arrive in a process's
    main thread only, where every task of a pool runs; elsewhere the block takes what it takes.
    """
    inside = signal.getsignal(signal.SIGALRM) is _end
    if inside or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _end)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _Late:
        raise late() from None
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left, interval)  # whose it was


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _Late

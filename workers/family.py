"""The processes of one worker: a parent that forks them and does nothing else, so that it takes no memory of
its own, and children that each take one task at a time.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from mooring.parent import die_with

_BEGUN: Final = signal.SIGUSR1  # by a child: it is at work
_ORDERS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, _BEGUN)
_AT_LEAST_S: Final = 1.0  # from a start of a child to the next one in its place
_LOOKS_EVERY_S: Final = 0.25  # while one is at work
_NOT_NEEDED_S: Final = 10.0  # that not all are at work at once, until there is one less
_PAUSE_S: Final = 0.1  # between two tasks of one who has more to do

_TIMES: Final = struct.Struct("dd")

Tell = Callable[[bool], None]  # by which a child says whether it is at work
Become = Callable[[int, Tell], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How many children there are: at least so many, and one more, up to `most`, once all that are there
    have been at work for `busy_s` seconds, at one task or at one after the other."""

    least: int = 1
    most: int = 1
    busy_s: float = 0.0


def keep(size: Size, prepare: Callable[[], None], become: Become) -> None:
    """Fork children, each of which does what `become` does of its number, from 1. Before them one does what
    `prepare` does; where that does not end well, this process ends as it did.

    One that is killed is replaced. One that ends by itself ends all, and this process with its exit code:
    who started it knows how long to wait. SIGTERM and SIGINT let each of them finish what it is doing.
    """
    signal.signal(signal.SIGCHLD, lambda *_: None)  # by default it would not even be waited for
    signal.pthread_sigmask(signal.SIG_BLOCK, _ORDERS)
    _first(prepare)
    sys.exit(_Family(size, become).live())


class _Family:
    def __init__(self, size: Size, become: Become) -> None:
        self._size, self._become = size, become
        self._wanted = set(range(1, size.least + 1))
        self._numbers: dict[int, int] = {}  # of those who live, by pid
        self._started: dict[int, float] = {}
        self._needed = 0.0  # when all were at work at once
        self._works = _Works(size.most)

    def live(self) -> int:
        """Keep them until they are to end; the exit code."""
        code: int | None = None  # once all are to end
        while self._numbers or code is None:
            if code is None:
                self._fit()
                self._fork_wanted()
            if _order(self._patience_s()) in (signal.SIGTERM, signal.SIGINT):
                code = code or 0
                self._end()
            for ended in self._dead():
                if code is None and ended >= 0:
                    code = ended
                    self._end()
        return code

    def _fit(self) -> None:
        """One more where all are at work; one less where they have not been for a while."""
        now, alive = time.monotonic(), set(self._numbers.values())
        if alive and min(map(self._works.seconds, alive)) >= self._size.busy_s > 0:
            self._needed = now
            self._wanted |= set(sorted(set(range(1, self._size.most + 1)) - alive)[:1])
        elif now - self._needed >= _NOT_NEEDED_S:
            for pid, number in self._numbers.items():
                if number > self._size.least and number in self._wanted:
                    self._wanted.remove(number)
                    os.kill(pid, signal.SIGTERM)

    def _patience_s(self) -> float | None:
        """Until it is to be looked how many they should be, by itself."""
        alive = self._numbers.values()
        if self._size.least == self._size.most:
            return None
        changes = len(alive) > self._size.least or any(map(self._works.seconds, alive))
        return _LOOKS_EVERY_S if changes else None

    def _fork_wanted(self) -> None:
        for number in sorted(self._wanted - set(self._numbers.values())):
            time.sleep(max(0.0, self._started.get(number, 0.0) + _AT_LEAST_S - time.monotonic()))
            self._started[number] = time.monotonic()
            self._works.begin(number)
            become = partial(self._become, number, partial(self._tell, os.getpid(), number))
            self._numbers[_fork(become)] = number

    def _dead(self) -> list[int]:
        """The exit codes of those who have ended, but for the ones that were to. Who was killed is wanted
        again, whoever it was: somebody has to take up what it was at."""
        codes = []
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            number, code = self._numbers.pop(pid, 0), os.waitstatus_to_exitcode(status)
            if number in self._wanted:
                codes.append(code)
            elif number and code < 0:
                self._wanted.add(number)
        return codes

    def _tell(self, parent: int, number: int, works: bool) -> None:
        """A child's word. Without it a parent sleeps that has nothing to look at."""
        self._works.tell(number, works)
        if works and self._size.least < self._size.most:
            os.kill(parent, _BEGUN)

    def _end(self) -> None:
        for pid in self._numbers:
            os.kill(pid, signal.SIGTERM)


class _Works:
    """Since when each is at work, and when it has paused, in memory that all of them share."""

    def __init__(self, most: int) -> None:
        self._times = mmap.mmap(-1, _TIMES.size * (most + 1))

    def begin(self, number: int) -> None:
        """It is a new one, and not at work."""
        self._set(number, 0.0, 0.0)

    def tell(self, number: int, works: bool) -> None:
        """It begins a task, or has ended one."""
        now, (since, paused) = time.monotonic(), self._get(number)
        if not works:
            self._set(number, since, now)
        elif since and now - paused < _PAUSE_S:
            self._set(number, since, 0.0)
        else:
            self._set(number, now, 0.0)

    def seconds(self, number: int) -> float:
        """How long it has been at work, without a pause that is one; 0 if it is not."""
        now, (since, paused) = time.monotonic(), self._get(number)
        return now - since if since and (not paused or now - paused < _PAUSE_S) else 0.0

    def _get(self, number: int) -> tuple[float, float]:
        since, paused = _TIMES.unpack_from(self._times, _TIMES.size * number)
        return since, paused

    def _set(self, number: int, since: float, paused: float) -> None:
        _TIMES.pack_into(self._times, _TIMES.size * number, since, paused)


def _first(prepare: Callable[[], None]) -> None:
    """Ends this process as the child that prepares has ended, unless that was well."""
    pid, asked = _fork(prepare), False
    while (order := _order(None)) != signal.SIGCHLD:
        asked = True
        os.kill(pid, order)
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        sys.exit(0 if asked else max(code, 1))
    if asked:
        sys.exit()


def _order(within_s: float | None) -> int:
    """The next signal; 0 if there is none within so many seconds."""
    if within_s is None:
        return signal.sigwait(_ORDERS)
    found = signal.sigtimedwait(_ORDERS, within_s)
    return found.si_signo if found else 0


def _fork(become: Callable[[], None]) -> int:
    parent = os.getpid()
    if pid := os.fork():
        return pid
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with(parent)  # one whose parent was killed must not go on: its lease would be kept alive
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ORDERS)
    become()
    sys.exit()

"""A group of processes in the foreground: their lines named, the dead restarted, all ended together.

One thread and one loop, beside those that tell the group's metrics: processes are started by the thread that
lives as long as the group, which is what the kernel looks at when a child is to die with its parent.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType, TracebackType
from typing import Final, Self

import psutil

from cli.children import start
from cli.nursery import Grown, Nursery
from mooring.text import printable

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_COLOURS: Final = ("36", "32", "33", "35", "34", "96", "92")
_US: Final = "mooring"
_LONGEST_LINE: Final = 1 << 16  # bytes; more without a line's end are printed as a line of their own

FIRST_WAIT: Final = 0.5  # seconds before the first restart; doubled each time
LONGEST_WAIT: Final = 30.0
STEADY: Final = 60.0  # seconds after which a child has proved itself and starts again with FIRST_WAIT


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running. `env` is its whole environment, `name` what its lines begin with.

    `grows`: it is a Python module, argv[3:] it and its arguments, that may be grown in a nursery.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    grows: bool = False


def backoff(failures: int) -> float:
    """Seconds to wait before the restart after `failures` (from 1) deaths in a row."""
    return float(min(FIRST_WAIT * 2 ** min(failures - 1, 16), LONGEST_WAIT))


def run(children: Sequence[Child], *, drain_s: float = 30.0, as_json: bool = False) -> None:
    """Keep `children` running until SIGTERM, SIGINT or SIGHUP; then end them and return.

    They get SIGTERM, and `drain_s` seconds later, or at the next signal, SIGKILL together with whatever is
    left in their process groups. Their output goes to stdout, each line behind the name of its child;
    `as_json`: each line an object, those that are one already as they are. Call it from the main thread: it
    takes over the process's signals while it runs.
    """
    growing = [child.env for child in children if child.grows] if sys.platform == "linux" else []
    with ExitStack() as ends:
        wakeup = ends.enter_context(_Wakeup())
        nursery = ends.enter_context(closing(Nursery(growing[0]))) if growing else None
        _Group(children, wakeup, nursery, as_json).run(drain_s)


class _Wakeup:
    """Signals as bytes on a socket, so that one `select` waits for output, deaths and orders alike."""

    def __enter__(self) -> Self:
        self.reader, self._writer = socket.socketpair()
        for end_ in (self.reader, self._writer):
            end_.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _noted) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self.reader.close()
        self._writer.close()

    def received(self) -> frozenset[int]:
        """The signals since the last call."""
        with suppress(BlockingIOError):
            return frozenset(self.reader.recv(4096))
        return frozenset()


def _noted(number: int, frame: FrameType | None) -> None:
    """The wakeup socket has it already."""


class _Running:
    """One child: its present process, if it has one, and when it is to be started again."""

    def __init__(self, child: Child, prefix: str) -> None:
        self.child = child
        self.prefix = prefix
        self.process: subprocess.Popen[bytes] | Grown | None = None
        self.started_at = 0.0
        self.restart_at: float | None = 0.0
        self.failures = 0
        self.rest = b""  # output whose line is not complete yet

    def start(self, nursery: Nursery | None) -> None:
        self.process = self._grown(nursery) or start(
            self.child.argv, self.child.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        assert self.process.stdout is not None
        fcntl.fcntl(self.process.stdout, fcntl.F_SETFL, os.O_NONBLOCK)
        self.started_at = time.monotonic()
        self.restart_at = None

    def _grown(self, nursery: Nursery | None) -> Grown | None:
        """None where it cannot be grown: by itself it is as good, and only takes more memory."""
        if nursery is None or not self.child.grows:
            return None
        with suppress(OSError):
            return nursery.grow(self.child.name, self.child.argv[3], self.child.argv[4:], self.child.env)
        return None

    def has_ended(self) -> bool:
        """Whether the process is dead; it is not reaped yet, so that its group's number stays its own."""
        assert self.process is not None
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, options) is not None

    def kill(self) -> None:
        """SIGKILL to the process and all of its group."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def terminate(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGTERM)

    def lines(self) -> tuple[list[bytes], bool]:
        """The complete lines there are, and whether the output has ended."""
        assert self.process is not None and self.process.stdout is not None
        found: list[bytes] = []
        for _ in range(16):  # then it is another child's turn
            block = self.process.stdout.read(_LONGEST_LINE)
            if block is None:
                return found, False
            *complete, self.rest = (self.rest + block).split(b"\n")
            found += complete
            if not block or len(self.rest) >= _LONGEST_LINE:
                found += [self.rest] if self.rest else []
                self.rest = b""
            if not block:
                return found, True
        return found, False


class _Group:
    def __init__(
        self, children: Sequence[Child], wakeup: _Wakeup, nursery: Nursery | None, as_json: bool
    ) -> None:
        self._nursery = nursery
        self._others = {child.pid for child in psutil.Process().children()}  # Redis; the nursery
        self._as_json = as_json
        width = max(len(child.name) for child in children)
        self._out = sys.stdout.buffer
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._members = [
            _Running(child, self._prefix(child.name.ljust(width), _COLOURS[i % len(_COLOURS)]))
            for i, child in enumerate(children)
        ]
        self._say = self._speaker(_US.ljust(width))
        self._wakeup = wakeup
        self._selector = selectors.DefaultSelector()
        self._ending_at: float | None = None  # when patience ends; None while all is to run

    def run(self, drain_s: float) -> None:
        self._selector.register(self._wakeup.reader, selectors.EVENT_READ)
        try:
            while self._ending_at is None or any(member.process for member in self._members):
                self._start_due()
                self._selector.select(self._timeout())
                signals = self._wakeup.received()
                if signals & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
                    self._end(drain_s)
                for member in self._members:
                    if member.process is not None:
                        self._print(member)
                        if member.has_ended():
                            self._bury(member)
                self._reap()
                if self._ending_at is not None and time.monotonic() >= self._ending_at:
                    for member in self._members:
                        member.kill()
        finally:
            for member in self._members:  # only after an error of our own is there anyone left
                if member.process is not None:
                    member.kill()
                    member.process.wait()
            self._selector.close()

    def _start_due(self) -> None:
        now = time.monotonic()
        for member in self._members:
            if self._ending_at is None and member.restart_at is not None and member.restart_at <= now:
                try:
                    member.start(self._nursery)
                except OSError as error:
                    self._say(f"{member.child.name} cannot be started: {error}")
                    self._schedule(member)
                    continue
                assert member.process is not None and member.process.stdout is not None
                self._selector.register(member.process.stdout, selectors.EVENT_READ)

    def _timeout(self) -> float | None:
        times = [member.restart_at for member in self._members if member.restart_at is not None]
        if self._ending_at is not None:
            times = [self._ending_at]
        return max(min(times) - time.monotonic(), 0.0) if times else None

    def _end(self, drain_s: float) -> None:
        if self._ending_at is not None:
            self._ending_at = time.monotonic()  # asked twice: at once
            return
        self._ending_at = time.monotonic() + drain_s
        names = ", ".join(member.child.name for member in self._members if member.process is not None)
        self._say(f"ending {names} (up to {drain_s:.0f} s; once more ends them at once)")
        for member in self._members:
            member.terminate()

    def _bury(self, member: _Running) -> None:
        """Reap a dead child and what it left in its group, and have it started again."""
        process = member.process
        assert process is not None and process.stdout is not None
        member.kill()  # its group, while its number is still held by the dead process
        self._print(member)
        if member.rest:
            self._write(member, [member.rest])
            member.rest = b""
        with suppress(KeyError):
            self._selector.unregister(process.stdout)
        process.stdout.close()
        code = process.wait()
        member.process = None
        if self._ending_at is None:
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            lived = time.monotonic() - member.started_at
            if lived >= STEADY:
                member.failures = 0
            self._say(f"{member.child.name} {how} after {lived:.0f} s")
            self._schedule(member)

    def _reap(self) -> None:
        """What dead members have left behind and is dead as well: it was given to us (children.adopt)."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        alive = {member.process.pid for member in self._members if member.process}
        with suppress(ChildProcessError):
            while dead := os.waitid(os.P_ALL, 0, options):
                if self._nursery is not None and dead.si_pid == self._nursery.pid:
                    self._nursery.close()
                elif dead.si_pid in alive or dead.si_pid in self._others:
                    return  # whoever has started it will ask how it ended
                else:
                    os.waitpid(dead.si_pid, 0)

    def _schedule(self, member: _Running) -> None:
        member.failures += 1
        wait = backoff(member.failures)
        member.restart_at = time.monotonic() + wait
        self._say(f"{member.child.name} is started again in {wait:g} s")

    def _print(self, member: _Running) -> None:
        lines, ended = member.lines()
        self._write(member, lines)
        if ended and member.process is not None:
            with suppress(KeyError):  # closed its output, but may live on
                self._selector.unregister(member.process.stdout)  # type: ignore[arg-type]

    def _write(self, member: _Running, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        prefix = member.prefix.encode()
        lines = [line for line in lines if line.strip()]
        if self._as_json:
            lines = [line if line.startswith(b"{") else _as_json(member.child.name, line) for line in lines]
            prefix = b""
        try:
            self._out.write(b"".join(prefix + line + b"\n" for line in lines))
            self._out.flush()
        except BrokenPipeError:  # whoever read us is gone
            self._out = open(os.devnull, "wb")  # noqa: PTH123, SIM115
            os.kill(os.getpid(), signal.SIGTERM)

    def _speaker(self, name: str) -> Callable[[str], None]:
        us = _Running(Child(_US, (), {}), self._prefix(name, "1"))
        return lambda text: self._write(us, [text.encode()])

    def _prefix(self, name: str, colour: str) -> str:
        return f"\033[{colour}m{name} |\033[0m " if self._coloured else f"{name} | "


def _as_json(name: str, line: bytes) -> bytes:
    """A line that was not written by a logger, as one of ours: a program's last words, mostly."""
    said = {
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "level": "info" if name == _US else "warning",
        "event": printable(line.decode(errors="replace")),
        "process": name,
    }
    return json.dumps(said).encode()

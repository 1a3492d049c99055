"""Runs one tool as a confined child: it sees its scratch directory and the system's programs, and nobody.

What it may touch is Landlock's business (landlock.py) and seccomp's (seccomp.py); how much it may use is
watched by its keeper (launch.py), a process between it and us that outlives neither.
"""

from __future__ import annotations

import fcntl
import io
import marshal
import math
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mooring.errors import RenderExceeded, RenderFailed
from workers.confine import bwrap, landlock, seccomp
from workers.confine.hush import hushed
from workers.confine.mode import ADVICE, Mode, mode

# Not as a script, which Python would compile at each start.
_KEEPER: Final = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import launch; launch.main()"
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_STDERR_KEPT: Final = 64 << 10
_MESSAGE_KEPT: Final = 2000
_GRACE_S: Final = 30.0  # that a keeper has beyond its tool's time, of which it counts only what it was given
_THREADS_EACH: Final = 16
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_TOO_LARGE: Final = re.compile(r"file too large|file size limit exceeded", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Command:
    """`argv[0]` is the tool's absolute path. `directory` is all that may be read and written; the tool stands
    in `directory / cwd`, and its HOME and TMPDIR are made inside. `env` is the whole environment besides
    those, PATH and LC_ALL. `readable` are files and directories that it may read and execute besides itself
    and what the system has. `executes`: it may execute what is in `directory`, as a plugin's own scripts."""

    argv: tuple[str, ...]
    directory: Path
    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    readable: tuple[Path, ...] = ()
    executes: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a tool may use. `memory_bytes` is what all its processes have resident together, `disk_bytes` and
    `files` what is in the directory, its sources among it; how it does is looked at every `tick_s`.
    `unconfined` permits to run it even where nothing holds it."""

    seconds: float = 60.0
    memory_bytes: int = 1 << 30
    output_bytes: int = 64 << 20
    file_bytes: int = 256 << 20
    disk_bytes: int = 1 << 30
    files: int = 100_000
    processes: int = 64
    tick_s: float = 0.02
    unconfined: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """What a tool printed; `stderr` is its end, without the paths of the scratch directory."""

    stdout: bytes
    stderr: str


class ToolFailed(RenderFailed):
    """The tool says no: `code` is its exit code (negative: a signal ended it), `stderr` its own words,
    `stdout` what it printed besides."""

    def __init__(self, message: str, *, code: int, stderr: str = "", stdout: bytes = b"") -> None:
        super().__init__(message)
        self.code = code
        self.stderr = stderr
        self.stdout = stdout

    @property
    def killed(self) -> bool:
        """A signal ended it, or a child of the shell that it is: then its files may not be the reason."""
        return self.code < 0 or self.code == 128 + signal.SIGKILL


class ToolTimedOut(RenderExceeded):
    """Not done within its time."""


class ToolTooBig(RenderExceeded):
    """Memory, output, files or processes beyond the bounds."""


class ToolLost(RenderFailed):
    """It could not be started, or was ended by somebody else: that says nothing of its files."""


class NotConfined(RenderFailed):
    """Nothing here would hold the tool, so it was not started."""


def python() -> tuple[Path, ...]:
    """What a tool that is written in Python needs to be `readable`: run it by `sys.executable`."""
    prefixes = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)}
    return tuple(sorted(prefixes | {Path(sys.executable).resolve().parent}))


def run(command: Command, bounds: Bounds) -> Output:
    """What the tool prints. Raises ToolFailed when it fails, ToolTimedOut and ToolTooBig when it is ended at
    one of its bounds (with all its processes), ToolLost when it could not be started or somebody else
    ended it, NotConfined when it may not be started here at all."""
    told, directory, own = prepared(command, bounds)
    ended = _kept(told, command.stdin, bounds)

    def shown(said: bytes) -> str:
        text = said.decode(errors="replace")
        if len(said) >= _STDERR_KEPT:  # of its first line, nobody knows what it was part of
            text = text.partition("\n")[2] or "…"
        for path in (own, directory):
            text = text.replace(f"{path}/", "").replace(str(path), ".")
        for path in (Path(command.argv[0]), *command.readable):
            text = text.replace(str(path), path.name)
        return hushed(text, directory, command.argv)

    return judge(command, bounds, ended, shown)


def prepared(command: Command, bounds: Bounds) -> tuple[dict[str, object], Path, Path]:
    """What a keeper is told to run `command`, its directory, and what is the tool's own in there. Raises
    NotConfined, and RenderFailed for a place out of the directory."""
    here = mode()
    if not here.strong and not bounds.unconfined:
        raise NotConfined(
            f"{_name(command)} was not run, as nothing here would confine it (there is {here}): {ADVICE}; "
            "or set MOORING_RENDER_UNCONFINED=1, if you trust every repository like the workers themselves"
        )
    directory = command.directory.resolve()
    if not (directory / command.cwd).resolve().is_relative_to(directory):
        raise RenderFailed(
            f"{_name(command)} cannot be run in {command.cwd}: it is outside of the repository"
        )
    own = Path(tempfile.mkdtemp(prefix=".mooring-", dir=directory))
    return _orders(command, bounds, here, directory, own), directory, own


@dataclass(frozen=True, slots=True)
class Ended:
    """`status` as `os.waitpid` has it, `why` the keeper ended the tool ("": it did not), `unable` why the
    tool could not even be started."""

    stdout: bytes
    stderr: bytes
    why: str
    status: int = 0
    unable: bytes = b""


def _orders(command: Command, bounds: Bounds, here: Mode, directory: Path, own: Path) -> dict[str, object]:
    """What the keeper is told, in types that `marshal` knows."""
    env = {"PATH": _PATH, "LC_ALL": "C.UTF-8", **command.env}
    for variable, name in (("HOME", "home"), ("TMPDIR", "tmp")):
        (own / name).mkdir()
        env[variable] = str(own / name)
    readable = (Path(command.argv[0]), *command.readable)
    rules = landlock.rules(directory, readable, here.landlock, executes=command.executes)
    signals = bool(here.bwrap) or landlock.scopes_signals(here.landlock)
    cwd = directory / command.cwd
    prefix = bwrap.prefix(here.bwrap, directory, readable, cwd, env) if here.bwrap else ()
    return {
        "argv": [os.fsencode(word) for word in (*prefix, *command.argv)],
        "env": {os.fsencode(name): os.fsencode(value) for name, value in env.items() if not prefix},
        "cwd": os.fsencode(cwd),
        "directory": os.fsencode(directory),
        "landlock": landlock.attributes(here.landlock) if here.landlock else b"",
        "rules": list(rules) if here.landlock else [],
        "filter": seccomp.program(here.machine, signals=signals) if here.machine else b"",
        "wrapped": bool(here.bwrap),
        # Data is what could become resident, reserves among it, so there may be more of it. RLIMIT_AS would
        # be too little for any program in Go; RLIMIT_NPROC counts strangers of the same user, or nobody.
        "limits": [
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, 4 * math.ceil(bounds.seconds)),  # of one process, its threads together
            (resource.RLIMIT_DATA, 2 * bounds.memory_bytes),
            (resource.RLIMIT_FSIZE, bounds.file_bytes),
            (resource.RLIMIT_MEMLOCK, 0),
            (resource.RLIMIT_MSGQUEUE, 0),
            (resource.RLIMIT_NOFILE, 512),
        ],
        "seconds": bounds.seconds,
        "tick": bounds.tick_s,
        "memory": bounds.memory_bytes,
        "processes": bounds.processes,
        "threads": _THREADS_EACH * bounds.processes,
        "disk": bounds.disk_bytes,
        "files": bounds.files,
    }


def _kept(orders: dict[str, object], stdin: bytes, bounds: Bounds) -> Ended:
    """Starts the keeper with its orders, and listens until nobody is left who could say anything."""
    with ExitStack() as stack:
        keeper, report = start(orders, stack.enter_context(_memory(stdin)), stack)
        return _listen(keeper, report, bounds)


def start(orders: dict[str, object], stdin: int, stack: ExitStack) -> tuple[subprocess.Popen[bytes], int]:
    """The keeper of a tool that reads from `stdin`, and where it reports. With `stack` it ends, and all."""
    told = stack.enter_context(_memory(marshal.dumps({**orders, "stdin": stdin})))
    report, reported = os.pipe()
    stack.callback(os.close, report)
    try:
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _KEEPER, str(told), str(reported)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,
            pass_fds=(stdin, told, reported),
        )
    finally:
        os.close(reported)
    # Closes its standard input whatever happens here, a time limit of Celery's too: then it ends all.
    stack.enter_context(keeper)
    return keeper, report


def _listen(keeper: subprocess.Popen[bytes], report: int, bounds: Bounds) -> Ended:
    assert keeper.stdin is not None and keeper.stdout is not None and keeper.stderr is not None
    out, err = keeper.stdout.fileno(), keeper.stderr.fileno()
    heard = {out: bytearray(), err: bytearray(), report: bytearray()}
    left, why, deadline = bounds.output_bytes, "", time.monotonic() + bounds.seconds + _GRACE_S
    with selectors.DefaultSelector() as ends:
        for end in heard:
            ends.register(end, selectors.EVENT_READ)
        while ends.get_map():
            ready = ends.select(max(deadline - time.monotonic(), 0))
            if not ready:
                why = "late"
                break
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    ends.unregister(key.fd)
                elif key.fd == report or not why:
                    heard[key.fd] += chunk
                    left -= len(chunk)
                if left < 0 and not why:
                    why = "output"
                    keeper.stdin.close()
            del heard[err][:-_STDERR_KEPT]
    return ended_by(keeper, heard[report], bytes(heard[out]), bytes(heard[err]), why)


def ended_by(
    keeper: subprocess.Popen[bytes], report: bytes | bytearray, out: bytes, err: bytes, why: str
) -> Ended:
    """How a tool ended: by the keeper's whole `report`, unless it was ended for `why`."""
    reports, tool = io.BytesIO(report), 0
    try:
        tool = marshal.load(reports)  # noqa: S302 - our own keeper says it, and no tool has this pipe
        status, its_why, unable = marshal.load(reports)  # noqa: S302
    except EOFError:  # ended from outside, as by a kernel that is out of memory
        keeper.kill()
        if tool:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(tool, signal.SIGKILL)
        return Ended(out, err, why or "lost")
    return Ended(out, err, why or its_why, status, unable)


def judge(command: Command, bounds: Bounds, ended: Ended, shown: Callable[[bytes], str]) -> Output:
    """What it printed, of a tool that has ended well. Raises as `run` does."""
    name, stderr = _name(command), shown(ended.stderr)
    if ended.unable:
        raise ToolLost(f"{name} could not be started: {shown(ended.unable)}")
    match ended.why:
        case "seconds":
            raise ToolTimedOut(
                f"{name} was ended, not done after {bounds.seconds:g} s: look for a loop, or render less"
            )
        case "memory":
            most = _mebibytes(bounds.memory_bytes)
            raise ToolTooBig(f"{name} was ended: it used more than {most} of memory; render less at once")
        case "output":
            most = _mebibytes(bounds.output_bytes)
            raise ToolTooBig(f"{name} was ended: it printed more than {most}; render less at once")
        case "disk":
            raise ToolTooBig(
                f"{name} was ended: it put more than {_mebibytes(bounds.disk_bytes)} or {bounds.files} files "
                "on the disk, or one deeper than any path reaches; render less at once"
            )
        case "processes":
            raise ToolTooBig(
                f"{name} was ended: it had more than {bounds.processes} processes or {_THREADS_EACH} threads "
                "for each; look for what starts them"
            )
        case "late":
            raise ToolLost(
                f"{name} was ended, not done: others had this machine's processors for so long; try again"
            )
        case "lost":
            raise ToolLost(f"{name} was ended from outside, as a kernel short of memory does; try again")
    code = os.waitstatus_to_exitcode(ended.status)
    if code == 0:
        return Output(ended.stdout, stderr)
    if code == -signal.SIGXCPU:
        raise ToolTimedOut(f"{name} was ended: it computed for too long; look for a loop, or render less")
    if _TOO_LARGE.search(stderr):
        most = _mebibytes(bounds.file_bytes)
        raise ToolTooBig(f"{name} failed: it wrote a file of more than {most}: {_line(stderr)}")
    why = _line(stderr) or _wordless(code)
    raise ToolFailed(f"{name} failed: {why}", code=code, stderr=stderr, stdout=ended.stdout)


def _wordless(code: int) -> str:
    if code < 0:
        return f"signal {-code} ended it, and it says nothing"
    return f"exit code {code}, and it says nothing"


def _line(stderr: str) -> str:
    """A tool's own words, as one line of a message."""
    words = " ".join(stderr.split())
    return words if len(words) <= _MESSAGE_KEPT else f"… {words[-_MESSAGE_KEPT:]}"


def _mebibytes(count: int) -> str:
    return f"{count >> 20} MiB" if count >> 20 else f"{count} bytes"


def _name(command: Command) -> str:
    return Path(command.argv[0]).name


@contextmanager
def _memory(content: bytes) -> Iterator[int]:
    """A file with `content` on no disk. Sealed: a tool could keep there what no limit counts."""
    descriptor = os.memfd_create("mooring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        yield descriptor
    finally:
        os.close(descriptor)

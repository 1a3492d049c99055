"""Processes of ours that live no longer than we do."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from cli.exits import complain, exit_code
from mooring.errors import MooringError
from mooring.parent import die_with

_PR_SET_CHILD_SUBREAPER: Final = 36
_PRCTL = ctypes.CDLL(None).prctl  # before any fork: the child must not load or look for anything


def start(argv: Sequence[str], env: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own; the kernel kills it when the calling thread ends."""
    parent = os.getpid()
    return subprocess.Popen(
        list(argv),
        env=dict(env),
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us alone: we say in which order things end
        preexec_fn=lambda: die_with(parent),  # one system call, nothing loaded
        **options,
    )


def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """SIGTERM; after `patience_s` seconds SIGKILL to the process group that `start` made."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience_s)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def apart(ask: Callable[[], str]) -> str:
    """What `ask` gives, asked in a process of its own: what it reads for that goes with it. Where it fails,
    that process says why, and we end with its exit code."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, ask().encode())
            os._exit(0)
        except MooringError as error:
            complain(str(error))
            os._exit(exit_code(error))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as told:
        answer = told.read()
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        sys.exit(code)
    return answer


def adopt() -> None:
    """Have the children of what we have started become ours when their parent ends. Linux only."""
    _PRCTL(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

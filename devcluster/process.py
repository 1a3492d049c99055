"""Processes that outlive the command that started them, and are ended by exactly that record.

A pid alone proves nothing: the machine may have rebooted and given it to somebody else. So the
record holds the start time and the command line too, and only a process that matches all three is
ever signalled.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from devcluster.errors import DevclusterError

_CLOCK_TOLERANCE = 2.0  # seconds: the kernel derives start times from a clock that NTP may correct


@dataclass(frozen=True, slots=True)
class Started:
    """A started process. `created` is its start in seconds since 1970."""

    pid: int
    created: float
    argv: tuple[str, ...]

    def process(self) -> psutil.Process | None:
        """The very process that was started, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = (
                abs(process.create_time() - self.created) < _CLOCK_TOLERANCE
                and tuple(process.cmdline()) == self.argv
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.Error:
            return None
        return process if same else None

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Started | None:
        """What `save` wrote; None when there is no readable record."""
        try:
            record = json.loads(path.read_text())
            return cls(int(record["pid"]), float(record["created"]), tuple(record["argv"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def start(argv: list[str], log: Path, *, cwd: Path) -> Started:
    """Starts `argv` in a session of its own, so that it survives this process; output goes to `log`."""
    with log.open("wb") as sink:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env={"PATH": os.defpath, "HOME": str(cwd), "TMPDIR": str(cwd)},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    # The child stays: no one waits for it here, and Popen's warning about that would be wrong.
    child.returncode = 0
    process = psutil.Process(child.pid)
    pause = threading.Event()
    # For a moment inside exec a process has no command line, and would not match its own record.
    for _ in range(1000):
        if process.status() == psutil.STATUS_ZOMBIE or process.cmdline():
            break
        pause.wait(0.001)
    return Started(child.pid, process.create_time(), tuple(argv))


def stop(started: Started, *, patience: float = 5.0) -> None:
    """Ends that process (SIGTERM, after `patience` seconds SIGKILL) and waits; no other is touched."""
    process = started.process()
    if process is None:
        return
    try:
        process.terminate()
        try:
            process.wait(patience)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(patience)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired as error:
        raise DevclusterError(
            f"process {started.pid} ({started.argv[0]}) does not end: end it by hand"
        ) from error

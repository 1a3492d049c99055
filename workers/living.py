"""Who a process is, and whether one that was told of is gone. Linux only: elsewhere nobody is known to be."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def us() -> str:
    """This process, as no other is called: the machine's start, whose numbers of processes are meant
    (containers have their own), its number, and its start, as numbers are given again. "" if not known."""
    with suppress(OSError):
        if since := _since(os.getpid()):
            return ":".join((*_here(), str(os.getpid()), since))
    return ""


def gone(who: str) -> bool:
    """Whether `who`, as `us` has said it, has ended, as far as can be told from here."""
    match who.split(":"):
        case [boot, numbers, pid, since] if pid.isascii() and pid.isdecimal():
            with suppress(OSError):
                return (boot, numbers) == _here() and _since(int(pid)) != since
    return False


def _here() -> tuple[str, str]:
    return _BOOT.read_text().strip(), str(Path("/proc/self/ns/pid").stat().st_ino)


def _since(pid: int) -> str:
    """When the process has started; "" where none lives. Raises OSError where we may not know."""
    try:
        os.kill(pid, 0)
        state, *others = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (ProcessLookupError, OverflowError):
        return ""
    return "" if state in "ZX" else others[18]  # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html

"""What holds a tool on this machine: found out once, told at the start and by `mooring doctor`."""

from __future__ import annotations

import functools
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from workers.confine import landlock, seccomp

ADVICE: Final = (
    "run workers on Linux 5.13 or newer with Landlock (`lsm=` of the kernel's command line may leave it "
    "out), or install bwrap where user namespaces are allowed"
)


@dataclass(frozen=True, slots=True)
class Mode:
    """`landlock` is its edition (ABI), 0: none; `machine` is empty where there is no filter for seccomp;
    `bwrap` is its path where it works, looked for only in Landlock's absence."""

    landlock: int
    machine: str
    bwrap: str = ""

    @property
    def strong(self) -> bool:
        """Whether a tool is kept from files that are not its own, and from every network."""
        return bool(self.machine and (self.landlock or self.bwrap))

    def __str__(self) -> str:
        parts = [
            *([f"Landlock {self.landlock}"] if self.landlock else []),
            *([f"namespaces by {self.bwrap}"] if self.bwrap else []),
            *(["seccomp"] if self.machine else []),
        ]
        missing = [
            *([] if self.landlock or self.bwrap else ["Landlock"]),
            *([] if self.machine else ["seccomp"]),
        ]
        return " and ".join(parts or ["nothing"]) + (f", without {' and '.join(missing)}" if missing else "")


@functools.cache
def mode() -> Mode:
    """What is in force here."""
    machine = platform.machine() if sys.platform == "linux" else ""
    machine = machine if seccomp.supported(machine) and _filters() else ""
    edition = landlock.edition()
    return Mode(edition, machine, "" if edition else _bwrap())


def _filters() -> bool:
    """Whether the kernel has filters at all: it has no such line where it was built without."""
    with open("/proc/self/status") as file:  # noqa: PTH123
        return any(line.startswith("Seccomp:") for line in file)


def _bwrap() -> str:
    path = shutil.which("bwrap")
    if path is None:
        return ""
    argv = [path, "--unshare-all", "--ro-bind", "/", "/", "--", path, "--version"]
    return path if subprocess.run(argv, capture_output=True, check=False).returncode == 0 else ""

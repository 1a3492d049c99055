"""What a confined tool may do with files, as rules of Landlock: only what is named here exists for it.

Landlock needs no right but `no_new_privs`, so it holds in a Pod as anywhere. What it does not hold (chmod,
sockets, signals on older kernels) is the business of seccomp.py.
https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_CREATE_RULESET: Final = 444  # the same number on every architecture
_VERSION: Final = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
# The first bit that an edition of Landlock does not know, by edition: what is not handled is not held.
_KNOWN: Final = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 4: 1 << 15}
_KNOWN_SINCE_5: Final = 1 << 16
_ALL_TCP: Final = 0b11  # bind and connect, since 4
_ALL_SCOPES: Final = 0b11  # abstract sockets and signals, since 6

_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
READ: Final = _EXECUTE | _READ_FILE | _READ_DIR

# Where a system keeps its programs and libraries, and the little of /etc that these read. No /proc: it would
# show other processes, and no rule can name "my own" for the children of a tool. Neither /dev/zero, which
# never ends, nor /dev/shm, which is memory that no limit counts.
SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"),
    *("/etc/alternatives", "/etc/group", "/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf"),
    *("/etc/os-release", "/etc/passwd"),
)
DEVICES: Final = {
    "/dev/null": _READ_FILE | _WRITE_FILE,
    "/dev/random": _READ_FILE,
    "/dev/urandom": _READ_FILE,
}


def edition() -> int:
    """The edition (ABI) of Landlock that this kernel has and lets us use; 0: none."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    found = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION)))
    if found < 0 and ctypes.get_errno() not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return max(found, 0)


def attributes(abi: int) -> bytes:
    """The `landlock_ruleset_attr` that handles all that this edition knows."""
    fields = [_known(abi)]
    if abi >= 4:
        fields.append(_ALL_TCP)
    if abi >= 6:
        fields.append(_ALL_SCOPES)
    return struct.pack(f"={len(fields)}Q", *fields)


def scopes_signals(abi: int) -> bool:
    """Whether a tool's signals reach nobody but itself and its children."""
    return abi >= 6


def rules(
    directory: Path, readable: Iterable[Path], abi: int, *, executes: bool
) -> Iterator[tuple[bytes, int]]:
    """Paths and what may be done below each. `directory` may be written, `readable` read and executed."""
    known = _known(abi)
    everything = known & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
    yield os.fsencode(directory), everything if executes else everything & ~_EXECUTE
    for path in (*map(Path, SYSTEM), *readable):
        if path.exists():
            yield os.fsencode(path), READ if path.is_dir() else READ & _OF_FILES
    for device, access in DEVICES.items():
        if Path(device).exists():
            yield os.fsencode(device), access


def _known(abi: int) -> int:
    return _KNOWN.get(abi, _KNOWN_SINCE_5) - 1

"""How much memory a process keeps goes neither by how many threads have worked in it, nor by its lists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_EIGHT_THREADS = """
import ctypes, sys, threading
from mooring.heaps import frugal

if sys.argv[2] == "few":
    frugal()
together = threading.Barrier(8)

def work():
    kept = bytes(100_000)
    together.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def heaps(said: Path, how: str) -> int:
    """Of a process in which eight threads were at work at once, as the C library tells."""
    subprocess.run([sys.executable, "-c", _EIGHT_THREADS, str(said), how], check=True)
    return said.read_text().count("<heap ")


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have one heap")
def test_threads_share_two_heaps(tmp_path: Path) -> None:
    assert heaps(tmp_path / "few.xml", "few") <= 2 < heaps(tmp_path / "many.xml", "as it comes")


_LISTS = """
import sys
from pathlib import Path
from mooring.heaps import frugal

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "frugal":
    frugal()
before = resident()
bytes(20_000_000)
kept, listed = [], []
for _ in range(8):
    listed.append(b"x" * 2_000_000)
    kept.append(bytes(20_000))  # what is read of it, and stays
del listed
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have one heap")
def test_what_was_large_is_given_back_whatever_was_kept_of_it() -> None:
    def kept(how: str) -> int:
        argv = [sys.executable, "-c", _LISTS, how]
        return int(subprocess.run(argv, check=True, capture_output=True).stdout)

    assert kept("frugal") < 2_000_000 < kept("as it comes")

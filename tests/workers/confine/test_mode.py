"""On kernels that hold less: what is missing is made up for, or nothing is run."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.workers.confine.conftest import DAEMON, WITHOUT_LANDLOCK, Prison
from workers.confine import landlock, seccomp
from workers.confine.mode import Mode, mode
from workers.confine.run import Bounds, ToolFailed

_ALLOW, _KILL, _PRETEND, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x50000, 0x50001, 0x50026


def test_here_it_is_strong() -> None:
    assert mode().strong
    assert str(mode()).endswith(" and seccomp")


# --- older editions of Landlock -----------------------------------------------------------------------
@pytest.mark.parametrize("edition", range(1, landlock.edition() + 1))
def test_whatever_edition_a_kernel_has_a_tool_is_held(
    prison: Prison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edition: int
) -> None:
    monkeypatch.setattr("workers.confine.run.mode", lambda: Mode(edition, platform.machine()))
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    other = subprocess.Popen(["sleep", "60"])
    try:
        assert prison.shell("echo ahoy > file; cat file").stdout == b"ahoy\n"
        for deed in (
            "open('/etc/shadow')",
            f"open('/proc/{os.getpid()}/environ')",
            f"open({str(theirs)!r}, 'a')",
            f"os.open({str(theirs)!r}, os.O_RDONLY | os.O_TRUNC)",
            f"os.open({str(theirs)!r}, os.O_ACCMODE | os.O_TRUNC)",
            f"os.truncate({str(theirs)!r}, 0)",
            f"os.rename({str(theirs)!r}, 'mine')",
            f"os.kill({other.pid}, 9)",
            f"os.kill({os.getpid()}, 15)",
            "os.kill(os.getppid(), 9)",
            "__import__('socket').socket(1, 1)",
        ):
            with pytest.raises(ToolFailed, match=r"PermissionError|Errno 18"):
                prison.python(f"import os; {deed}", readable=(theirs,))
        assert theirs.read_text() == "theirs"
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


# --- none at all --------------------------------------------------------------------------------------
_RUN = (
    WITHOUT_LANDLOCK
    + """
import sys
from pathlib import Path
from mooring.errors import MooringError
from workers.confine.mode import mode
from workers.confine.run import Bounds, Command, python, run
try:
    argv = (sys.executable, "-I", "-S", "-c", sys.argv[2])
    bounds = Bounds(unconfined=sys.argv[3] == "unconfined")
    print(run(Command(argv, Path(sys.argv[1]), readable=python()), bounds).stdout.decode(), end="")
except MooringError as error:
    print(f"{type(error).__name__}: {error}")
"""
)


def _without_landlock(prison: Prison, code: str, unconfined: str = "", path: str = "/nowhere") -> str:
    argv = [sys.executable, "-c", _RUN, str(prison.directory), code, unconfined]
    env = {"PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    return done.stdout


def test_where_nothing_would_confine_it_no_tool_is_run(prison: Prison) -> None:
    said = _without_landlock(prison, "open('ran', 'w')")
    assert said.startswith("NotConfined: python")
    assert "there is seccomp, without Landlock" in said
    assert "MOORING_RENDER_UNCONFINED=1" in said
    assert not (prison.directory / "ran").exists()


def test_unless_that_is_said_to_be_wanted_and_even_then_without_a_network(prison: Prison) -> None:
    assert _without_landlock(prison, "print('ahoy')", "unconfined") == "ahoy\n"
    said = _without_landlock(prison, "import socket; socket.socket()", "unconfined")
    assert said.startswith("ToolFailed")
    assert "PermissionError" in said


def test_even_of_a_tool_that_nothing_holds_nobody_stays(
    prison: Prison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.confine.run.mode", lambda: Mode(0, ""))
    prison.python(DAEMON, bounds=Bounds(unconfined=True))
    assert not psutil.pid_exists(int((prison.directory / "alive").read_text()))


def test_namespaces_do_where_bwrap_is_installed_and_allowed(prison: Prison, tmp_path: Path) -> None:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        pytest.skip("bwrap is not installed")
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    path = str(Path(bwrap).parent)
    assert _without_landlock(prison, "open('file', 'w').write('x'); print('ahoy')", path=path) == "ahoy\n"
    assert (prison.directory / "file").read_text() == "x"
    capabilities = """
import ctypes
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capget(header, data) == 0
print(list(data))
"""
    assert _without_landlock(prison, capabilities, path=path) == "[0, 0, 0, 0, 0, 0]\n"
    for code in (f"open({str(theirs)!r})", "open('/etc/shadow')", "open('/proc/self/environ')"):
        assert "No such file" in _without_landlock(prison, code, path=path)
    for code in ("import socket; socket.socket()", "open('/file', 'w')"):
        assert _without_landlock(prison, code, path=path).startswith("ToolFailed")


# --- the filter, on machines that are not this one ------------------------------------------------------
def _verdict(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel's machine makes of a call: https://docs.kernel.org/networking/filter.html"""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=IIQ6Q", number, arch, 0, *(one & (1 << 64) - 1 for one in padded))
    code = list(struct.iter_unpack("=HBBI", program))
    at, value = 0, 0
    while True:
        instruction, jump_true, jump_false, operand = code[at]
        at += 1
        match instruction:
            case 0x20:
                (value,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                value &= operand
            case 0x06:
                return int(operand)
            case _:
                tests = {0x15: value == operand, 0x25: value > operand, 0x35: value >= operand}
                at += jump_true if tests.get(instruction, bool(value & operand)) else jump_false


@pytest.mark.parametrize(
    ("machine", "arch", "numbers"),
    [
        ("x86_64", 0xC000003E, {"read": 0, "kill": 62, "tgkill": 234, "socket": 41, "fchmodat": 268}),
        ("aarch64", 0xC00000B7, {"read": 63, "kill": 129, "tgkill": 131, "socket": 198, "fchmodat": 53}),
    ],
)
def test_the_filter_says_the_same_on_every_machine(machine: str, arch: int, numbers: dict[str, int]) -> None:
    strict, lenient = (seccomp.program(machine, signals=signals) for signals in (False, True))
    assert _verdict(strict, arch, numbers["read"]) == _ALLOW
    assert _verdict(strict, arch ^ 1, numbers["read"]) == _KILL
    assert _verdict(strict, arch, numbers["socket"], socket.AF_INET) == _EPERM
    assert _verdict(strict, arch, numbers["fchmodat"]) == _PRETEND
    assert _verdict(strict, arch, 424) == _ENOSYS  # pidfd_send_signal
    assert _verdict(strict, arch, 425) == _ENOSYS  # io_uring_setup
    assert _verdict(strict, arch, 9999) == _ENOSYS
    assert _verdict(strict, arch, numbers["kill"], 0, 9) == _ALLOW
    assert _verdict(strict, arch, numbers["kill"], 1, 9) == _EPERM
    assert _verdict(strict, arch, numbers["kill"], -1, 9) == _EPERM
    assert _verdict(strict, arch, numbers["tgkill"], 1, 1, 9) == _EPERM
    assert _verdict(lenient, arch, numbers["kill"], 1, 9) == _ALLOW


def test_other_machines_have_no_filter_and_so_are_not_strong() -> None:
    assert not seccomp.supported("riscv64")
    assert not Mode(landlock=7, machine="").strong
    assert not Mode(landlock=0, machine="x86_64").strong
    assert Mode(landlock=1, machine="aarch64").strong
    assert Mode(landlock=0, machine="x86_64", bwrap="/usr/bin/bwrap").strong
    assert str(Mode(landlock=0, machine="")) == "nothing, without Landlock and seccomp"

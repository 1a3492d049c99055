"""A tool reaches its own scratch directory, and nothing and nobody else. One attack each."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from mooring.errors import RenderFailed
from tests.workers.confine.conftest import ROOMY, Prison
from workers.confine import landlock
from workers.confine.run import Command, ToolFailed, run
from workers.confine.scratch import scratch


# --- files -------------------------------------------------------------------------------------------
def test_it_works_in_its_own_directory(prison: Prison) -> None:
    (prison.directory / "repo").mkdir()
    (prison.directory / "repo" / "in").write_text("ahoy\n")
    done = prison.shell("cat in; echo out > out; mkdir a b; mv a b/; ln -s in link; cat link", cwd="repo")
    assert done.stdout == b"ahoy\nahoy\n"
    assert (prison.directory / "repo" / "out").read_text() == "out\n"
    assert (prison.directory / "repo" / "b" / "a").is_dir()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/shadow",
        "/etc/hostname",
        "/proc/self/environ",
        "/proc/{pid}/environ",
        "/proc/{pid}/cmdline",
        "/proc/1/environ",
        "/dev/zero",
        __file__,
    ],
)
def test_files_of_the_machine_are_not_read(prison: Prison, path: str) -> None:
    path = path.replace("{pid}", str(os.getpid()))
    assert Path(path).exists()
    with pytest.raises(ToolFailed, match="Permission denied"):
        prison.python(f"print(open({path!r}, 'rb').read(1))")


def test_neither_the_token_of_the_service_account_nor_another_render_is_read(
    prison: Prison, state: Path, tmp_path: Path
) -> None:
    token = tmp_path / "var/run/secrets/kubernetes.io/serviceaccount/token"
    token.parent.mkdir(parents=True)
    token.write_text("a token")
    with scratch(state) as other:
        (other / "secret").write_text("another's")
        for path in (token, other / "secret", other, state):
            (prison.directory / "link").unlink(missing_ok=True)
            (prison.directory / "link").symlink_to(path)
            for way in (path, "link", prison.directory / "link"):
                with pytest.raises(ToolFailed, match="Permission denied"):
                    prison.shell(f"if [ -d {way} ]; then ls {way}/; else cat {way}; fi")
        with pytest.raises(ToolFailed, match="Permission denied"):
            prison.shell(f"cat ../{other.name}/secret")


@pytest.mark.parametrize(
    "deed",
    [
        "open(path, 'w')",
        "open(path, 'a')",
        "os.open(path, os.O_RDONLY | os.O_TRUNC)",
        "os.open(path, os.O_ACCMODE | os.O_TRUNC)",
        "os.truncate(path, 0)",
        "os.unlink(path)",
        "os.rename(path, 'mine')",
        "os.link(path, 'mine')",
        "os.mkdir(path + '.new')",
        "os.symlink('x', path + '.new')",
        "os.mkfifo(path + '.new')",
        "os.setxattr(path, 'user.x', b'')",
    ],
)
def test_nothing_outside_is_written(prison: Prison, tmp_path: Path, deed: str) -> None:
    path = tmp_path / "theirs"
    path.write_text("theirs")
    with pytest.raises(ToolFailed, match=r"PermissionError|Errno 18|Errno 95"):
        prison.python(f"import os; path = {str(path)!r}; {deed}", readable=(path,))
    assert path.read_text() == "theirs"
    assert list(tmp_path.glob("*.new")) == []


@pytest.mark.parametrize(
    "deed",
    [
        "os.chmod(path, 0)",
        "os.fchmod(os.open(path, os.O_RDONLY), 0)",
        "os.utime(path, (0, 0))",
        "os.chown(path, 1, 1)",
    ],
)
def test_modes_times_and_owners_change_in_word_only(prison: Prison, tmp_path: Path, deed: str) -> None:
    path = tmp_path / "theirs"
    path.write_text("theirs")
    before = path.stat()
    prison.python(f"import os; path = {str(path)!r}; {deed}", readable=(path,))
    after = path.stat()
    assert (after.st_mode, after.st_mtime, after.st_uid) == (before.st_mode, before.st_mtime, before.st_uid)


def test_a_program_of_the_repository_is_run_only_where_that_is_wanted(prison: Prison) -> None:
    program = prison.directory / "program"
    program.write_text("#!/bin/sh\necho I run\n")
    program.chmod(0o755)
    with pytest.raises(ToolFailed, match="Permission denied"):
        prison.shell("./program")
    assert prison.shell("./program", executes=True).stdout == b"I run\n"


def test_a_directory_to_stand_in_is_one_of_the_repository(prison: Prison) -> None:
    (prison.directory / "link").symlink_to("/")
    for outside in ("..", "link", "/etc"):
        with pytest.raises(RenderFailed, match="outside of the repository"):
            prison.shell("pwd", cwd=outside)


# --- the worker ---------------------------------------------------------------------------------------
def test_of_the_workers_environment_it_learns_nothing(
    prison: Prison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORING_REDIS_URL", "redis://:swordfish@redis")
    done = prison.shell("env", env={"ARGOCD_APP_NAME": "shop"})
    lines = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
    assert lines.keys() == {"PATH", "HOME", "TMPDIR", "LC_ALL", "ARGOCD_APP_NAME", "PWD"}
    for own in ("HOME", "TMPDIR"):
        assert Path(lines[own]).is_relative_to(prison.directory)
        assert list(Path(lines[own]).iterdir()) == []


def test_it_inherits_no_open_file(prison: Prison, tmp_path: Path) -> None:
    (tmp_path / "open").write_text("secret")
    descriptor = os.open(tmp_path / "open", os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        code = """
import os
for fd in range(512):
    try: os.fstat(fd)
    except OSError: continue
    print(fd)
"""
        assert prison.python(code).stdout == b"0\n1\n2\n"
    finally:
        os.close(descriptor)


def test_it_signals_nobody(prison: Prison) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        for pid in (other.pid, os.getpid(), 1, -1):
            code = f"import os, signal; os.kill({pid}, signal.SIGTERM)"
            try:
                prison.python(code)
            except ToolFailed as failed:
                assert "PermissionError" in failed.stderr or failed.code == -signal.SIGTERM
        code = f"import os; os.kill({other.pid}, 9)"
        with pytest.raises(ToolFailed, match="PermissionError"):
            prison.python(code)
        with pytest.raises(ToolFailed, match="PermissionError"):  # whoever keeps it
            prison.python("import os; os.kill(os.getppid(), 9)")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.skipif(landlock.edition() < 6, reason="before, it can signal its whole group only")
def test_its_own_children_it_may_end(prison: Prison) -> None:
    assert prison.shell("sleep 1000 & kill $!; wait $! 2>/dev/null; echo $?").stdout == b"143\n"


_CALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall({arguments})
assert result == -1, "it was let in"
print(os.strerror(ctypes.get_errno()))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are of x86_64")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ptrace", "101, 16, {pid}, 0, 0"),
        ("process_vm_readv", "310, {pid}, 0, 0, 0, 0, 0"),
        ("unshare", "272, 0x10000000"),
        ("clone into a new user namespace", "56, 0x10000011, 0, 0, 0, 0"),
        ("clone3", "435, 0, 0"),
        ("mount", "165, 0, 0, 0, 0, 0"),
        ("keyctl", "250, 0, 0"),
        ("bpf", "321, 0, 0, 0"),
        ("userfaultfd", "323, 0"),
        ("io_uring_setup", "425, 1, 0"),
        ("perf_event_open", "298, 0, 0, -1, -1, 0"),
        ("memfd_create", "319, b'x', 0"),
        ("shmget", "29, 0, 4096, 0o1600"),
        ("inotify_init1", "294, 0"),
        ("open_by_handle_at", "304, -1, 0, 0"),
        ("prlimit64 of another", "302, {pid}, 7, 0, 0"),
        ("sendmsg", "46, 0, 0, 0"),
        ("fallocate", "285, 1, 0, 0, 1 << 30"),
        ("a signal at the death of nobody", "157, 1, 0, 0, 0, 0"),
        ("hidden from /proc", "157, 4, 0, 0, 0, 0"),
        ("a call of x32", "0x40000000 + 41, 2, 1, 0"),
        ("a leased file", "72, 0, 1024, 0"),
        ("setuid", "105, 0"),
        ("pidfd_open", "434, {pid}, 0"),
    ],
)
def test_a_call_of_the_kernel_that_no_tool_needs_is_not_there(
    prison: Prison, name: str, arguments: str
) -> None:
    code = _CALL.format(arguments=arguments.format(pid=os.getpid()))
    said = prison.python(code).stdout.decode().strip()
    refusals = ("Operation not permitted", "Function not implemented", "Operation not supported")
    assert said in (*refusals, "Invalid argument"), name


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are of x86_64")
def test_calls_in_another_machines_numbers_end_it(prison: Prison) -> None:
    # int 0x80: the numbers of i386, where 20 is getpid.
    code = """
import ctypes, mmap
code = b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3"
memory = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
memory.write(code)
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))())
"""
    with pytest.raises(ToolFailed) as failed:
        prison.python(code)
    assert failed.value.code == -signal.SIGSYS


def test_a_program_that_takes_its_owners_rights_gets_none(prison: Prison) -> None:
    program = next((path for path in map(Path, ("/usr/bin/su", "/bin/su")) if path.exists()), None)
    if program is None:
        pytest.skip("there is no such program here")
    script = "su -c id nobody </dev/null; id -u"
    assert int(prison.shell(script).stdout.split()[-1]) == os.getuid()


def test_it_has_no_capabilities(prison: Prison) -> None:
    code = """
import ctypes
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capget(header, data) == 0
print(list(data))
"""
    assert prison.python(code).stdout == b"[0, 0, 0, 0, 0, 0]\n"


# --- the network --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "socket",
    [
        "AF_INET, SOCK_STREAM",
        "AF_INET, SOCK_DGRAM",
        "AF_INET6, SOCK_STREAM",
        "AF_UNIX, SOCK_STREAM",
        "AF_NETLINK, SOCK_RAW",
        "AF_PACKET, SOCK_RAW",
        "AF_VSOCK, SOCK_STREAM",
        "AF_ALG, SOCK_SEQPACKET",
    ],
)
def test_there_is_no_socket_of_any_kind(prison: Prison, socket: str) -> None:
    with pytest.raises(ToolFailed, match="PermissionError"):
        prison.python(f"from socket import *; socket({socket})")


def test_neither_loopback_nor_a_name_nor_a_local_socket_is_reached(prison: Prison) -> None:
    reached: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        name = f"\0mooring-{os.getpid()}-{threading.get_ident()}"
        abstract.bind(name)
        abstract.listen()
        for listening in (tcp, abstract):
            listening.settimeout(0)
        port = tcp.getsockname()[1]
        for code in (
            f"import socket; socket.create_connection(('127.0.0.1', {port}))",
            "import socket; socket.getaddrinfo('kubernetes.default.svc', 443)",
            f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})",
        ):
            with pytest.raises(ToolFailed, match=r"PermissionError|gaierror"):
                prison.python(code)
        for listening in (tcp, abstract):
            with pytest.raises(BlockingIOError):
                reached.append(str(listening.accept()))
    assert reached == []


def test_a_pair_of_sockets_for_its_own_children_reaches_nobody_else(prison: Prison) -> None:
    assert prison.python("import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))").stdout
    for kind in ("SOCK_DGRAM", "SOCK_SEQPACKET"):  # a datagram may be addressed to anybody
        with pytest.raises(ToolFailed, match="PermissionError"):
            prison.python(f"from socket import *; socketpair(AF_UNIX, {kind})")
    with pytest.raises(ToolFailed, match="OSError"):
        prison.python("from socket import *; a, b = socketpair(); a.connect('/run/x')")


# --- what users see -----------------------------------------------------------------------------------
def test_what_a_tool_says_names_files_as_the_repository_does(prison: Prison) -> None:
    script = 'echo "Error: $PWD/values.yaml: no such file (in $HOME/x, $PWD)" >&2; exit 3'
    (prison.directory / "charts").mkdir()
    with pytest.raises(ToolFailed) as failed:
        prison.shell(script, cwd="charts")
    assert str(failed.value) == "sh failed: Error: charts/values.yaml: no such file (in home/x, charts)"
    assert failed.value.code == 3
    assert str(prison.directory) not in failed.value.stderr


def test_who_says_nothing_is_named_with_its_code(prison: Prison) -> None:
    with pytest.raises(ToolFailed, match=re.escape("sh failed: exit code 4, and it says nothing")):
        prison.shell("exit 4")
    with pytest.raises(ToolFailed, match="signal 11"):
        prison.shell("kill -SEGV 0")


def test_a_tool_that_is_not_there_is_said_in_one_line(prison: Prison) -> None:
    with pytest.raises(RenderFailed, match=r"no-such-tool could not be started: .*No such file"):
        run(Command(("/usr/bin/no-such-tool",), prison.directory), ROOMY)


def test_input_and_output_are_bytes_as_they_are(prison: Prison) -> None:
    given = bytes(range(256)) * 5000
    assert prison.shell("cat", stdin=given).stdout == given


def test_many_at_once_from_threads_do_not_mix(prison: Prison) -> None:
    outputs: dict[int, bytes] = {}

    def one(number: int) -> None:
        outputs[number] = prison.shell("cat; sleep 0.05", stdin=str(number).encode()).stdout

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {number: str(number).encode() for number in range(8)}

"""A tool uses what it is given, and no more; and when it is over, it is over. One attack each."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.workers.confine.conftest import DAEMON, ROOMY, Prison
from workers.confine.run import Bounds, ToolFailed, ToolTimedOut, ToolTooBig
from workers.confine.scratch import scratch, sweep

_MIB = 1 << 20


def _alive(prison: Prison) -> list[psutil.Process]:
    """Who works in the directory: no argument or environment tells it as surely as where a process stands."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(prison.directory) and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


# --- time ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("script", ["sleep 1000", "while :; do :; done", "trap '' TERM INT HUP; sleep 1000"])
def test_what_never_ends_is_ended(prison: Prison, script: str) -> None:
    with pytest.raises(ToolTimedOut, match=r"sh was ended, not done after 0\.3 s"):
        prison.shell(script, bounds=replace(ROOMY, seconds=0.3))
    assert _alive(prison) == []


def test_what_waits_for_others_loses_no_time_of_its_own(prison: Prison) -> None:
    up = prison.directory / "up"

    def hold_up() -> None:
        while not up.exists() or not (said := up.read_text()).endswith("\n"):
            time.sleep(0.01)
        keeper = psutil.Process(int(said))
        keeper.suspend()  # as where others have all processors
        time.sleep(2.5)
        keeper.resume()
        (prison.directory / "go").touch()

    other = threading.Thread(target=hold_up)
    other.start()
    script = "echo $PPID > up; while [ ! -e go ]; do sleep 0.01; done; echo done"
    assert prison.shell(script, bounds=replace(ROOMY, seconds=2)).stdout == b"done\n"
    other.join()


def test_what_many_processors_computed_counts_together(prison: Prison) -> None:
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_CPU))"
    assert prison.python(code, bounds=replace(ROOMY, seconds=10)).stdout == b"(40, 40)\n"


# --- processes ----------------------------------------------------------------------------------------
def test_a_fork_bomb_is_ended_with_all_its_children(prison: Prison) -> None:
    with pytest.raises(ToolTooBig, match="more than 20 processes"):
        prison.shell("bomb() { bomb | bomb & }; bomb; sleep 1000", bounds=replace(ROOMY, processes=20))
    assert _alive(prison) == []


def test_so_are_threads(prison: Prison) -> None:
    code = """
import threading, time
for _ in range(1000): threading.Thread(target=time.sleep, args=(1000,)).start()
"""
    with pytest.raises(ToolTooBig, match="threads"):
        prison.python(code, bounds=replace(ROOMY, processes=4))
    assert _alive(prison) == []


def test_a_daemon_that_turned_its_back_on_everybody_ends_with_the_tool(prison: Prison) -> None:
    assert prison.python(DAEMON + "print('done')").stdout == b"done\n"
    pid = int((prison.directory / "alive").read_text())
    assert not psutil.pid_exists(pid)
    assert _alive(prison) == []


def test_one_that_holds_the_output_open_does_not_hold_us_up(prison: Prison) -> None:
    assert prison.shell("sleep 1000 & echo done").stdout == b"done\n"
    assert _alive(prison) == []


_WORKER = """
import sys
from pathlib import Path
from workers.confine.run import Bounds, Command, python, run
code = sys.stdin.read()
run(Command((sys.executable, "-I", "-S", "-c", code), Path(sys.argv[1]), readable=python()), Bounds())
"""


def test_nothing_survives_a_worker_that_was_killed(prison: Prison) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(prison.directory)], stdin=subprocess.PIPE, text=True
    )
    assert worker.stdin is not None
    worker.stdin.write(DAEMON + "time.sleep(1000)")
    worker.stdin.close()
    alive = prison.directory / "alive"
    while not alive.exists() or not alive.read_text():
        assert worker.poll() is None
        time.sleep(0.01)
    while len(_alive(prison)) != 2:  # those in between are about to end
        time.sleep(0.01)

    worker.kill()
    worker.wait()

    psutil.wait_procs(_alive(prison), timeout=30)
    assert _alive(prison) == []


def test_nor_a_keeper_that_was_killed(prison: Prison) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(prison.directory)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    worker.stdin.write(DAEMON + "time.sleep(1000)")
    worker.stdin.close()
    alive = prison.directory / "alive"
    while not alive.exists() or not alive.read_text():
        assert worker.poll() is None
        time.sleep(0.01)
    (keeper,) = psutil.Process(worker.pid).children()

    keeper.kill()

    assert worker.stderr is not None
    assert "was ended from outside" in worker.stderr.read()
    worker.wait()
    psutil.wait_procs(_alive(prison), timeout=30)
    assert _alive(prison) == []


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel knows no autogroups")
def test_it_gives_way_to_other_sessions_more_than_who_runs_and_ends_it(prison: Prison) -> None:
    """Who ends it gets no processor otherwise, where it is a fork bomb."""
    worker = subprocess.Popen(
        ["nice", "-n", "7", sys.executable, "-c", _WORKER, str(prison.directory)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert worker.stdin is not None
    worker.stdin.write("open('alive', 'w').close(); import time; time.sleep(1000)")
    worker.stdin.close()
    while not (prison.directory / "alive").exists():
        assert worker.poll() is None
        time.sleep(0.01)
    (tool,) = _alive(prison)
    for process, nice in ((tool.pid, 13), (tool.ppid(), 7)):
        assert psutil.Process(process).nice() == nice
        assert Path(f"/proc/{process}/autogroup").read_text().split()[1:] == ["nice", str(nice)]
    worker.kill()
    worker.wait()
    psutil.wait_procs(_alive(prison), timeout=30)


# --- memory -------------------------------------------------------------------------------------------
_HOG = "import time; hog = [bytearray(1 << 20) for _ in range(%d)]; time.sleep(1000)"


def test_memory_is_bounded(prison: Prison) -> None:
    with pytest.raises(ToolTooBig, match="more than 100 MiB of memory"):
        prison.python(_HOG % 150, bounds=replace(ROOMY, memory_bytes=100 * _MIB))


def test_also_where_many_share_in_it(prison: Prison) -> None:
    code = "import os\nfor _ in range(4): os.fork() or exec(%r)\nimport time; time.sleep(1000)" % (_HOG % 40)
    with pytest.raises(ToolTooBig, match="more than 100 MiB of memory"):
        prison.python(code, bounds=replace(ROOMY, memory_bytes=100 * _MIB))


def test_what_is_taken_at_one_go_is_not_given(prison: Prison) -> None:
    with pytest.raises(ToolFailed, match="MemoryError"):
        prison.python("bytearray(300 << 20)", bounds=replace(ROOMY, memory_bytes=100 * _MIB))


def test_reserving_a_lot_as_go_does_costs_nothing(prison: Prison) -> None:
    code = """
import mmap
m = mmap.mmap(-1, 64 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=0)
print(len(m) >> 30)
"""
    assert prison.python(code, bounds=replace(ROOMY, memory_bytes=100 * _MIB)).stdout == b"64\n"


def test_memory_that_belongs_to_nobody_cannot_be_had(prison: Prison) -> None:
    with pytest.raises(ToolFailed, match="OSError"):
        prison.python("import mmap; mmap.mmap(-1, 4096)")  # shared, so it would stay when not in sight
    with pytest.raises(ToolFailed, match="Permission denied"):
        prison.shell("echo x > /dev/shm/mooring")
    with pytest.raises(ToolFailed, match="PermissionError"):
        prison.python("import os; os.write(0, b'more')", stdin=b"given")


# --- output and disk ----------------------------------------------------------------------------------
@pytest.mark.parametrize("end", ["", ">&2"])
def test_endless_output_is_ended(prison: Prison, end: str) -> None:
    with pytest.raises(ToolTooBig, match="printed more than 2 MiB"):
        prison.shell(f"yes {end}", bounds=replace(ROOMY, output_bytes=2 * _MIB))
    assert _alive(prison) == []


def test_of_many_words_on_standard_error_the_last_are_kept(prison: Prison) -> None:
    with pytest.raises(ToolFailed) as failed:
        prison.shell("yes words | head -c 1000000 >&2; echo 'Error: the reason' >&2; exit 1")
    assert failed.value.stderr.endswith("Error: the reason")
    assert len(failed.value.stderr) <= 64 << 10
    assert str(failed.value).endswith("Error: the reason")
    assert len(str(failed.value)) < 2100


def test_a_big_file_is_not_written(prison: Prison) -> None:
    with pytest.raises(ToolTooBig, match="a file of more than 1 MiB"):
        prison.shell("head -c 2000000 /bin/sh /bin/sh /dev/urandom > big", bounds=_small())
    assert (prison.directory / "big").stat().st_size == _MIB


def _small() -> Bounds:
    return replace(ROOMY, file_bytes=_MIB, disk_bytes=4 * _MIB, files=500)


def test_a_disk_is_not_filled_with_many_files(prison: Prison) -> None:
    script = "i=0; while :; do i=$((i+1)); echo > file-$i; done"
    with pytest.raises(ToolTooBig, match="or 500 files"):
        prison.shell(script, bounds=_small())


def test_nor_with_much_in_them(prison: Prison) -> None:
    script = "i=0; while [ $i -lt 9 ]; do i=$((i+1)); head -c 900000 /dev/urandom > file-$i; done; sleep 1000"
    with pytest.raises(ToolTooBig, match="more than 4 MiB"):
        prison.shell(script, bounds=_small())


def test_nor_with_files_that_have_no_name_any_more(prison: Prison) -> None:
    code = """
import os, time
kept = []
for number in range(9):
    kept.append(os.open("file", os.O_RDWR | os.O_CREAT))
    os.write(kept[-1], os.urandom(900_000))
    os.unlink("file")
time.sleep(1000)
"""
    with pytest.raises(ToolTooBig, match="more than 4 MiB"):
        prison.python(code, bounds=_small())


def test_nor_where_no_path_reaches(prison: Prison) -> None:
    code = "import os, time\nfor _ in range(300): os.mkdir('d' * 50); os.chdir('d' * 50)\ntime.sleep(1000)"
    with pytest.raises(ToolTooBig, match="deeper than any path"):
        prison.python(code, bounds=_small())


# --- afterwards ---------------------------------------------------------------------------------------
def test_whatever_is_left_is_removed(state: Path) -> None:
    code = """
import os
os.mkdir("closed"); open("closed/file", "w"); os.mkdir("closed/none", 0); os.mkdir("none", 0)
os.symlink("/", "root"); os.mkfifo("pipe"); open(b"\\xff\\n-rf", "w")
for _ in range(3000): os.mkdir("d" * 50); os.chdir("d" * 50)
"""
    with scratch(state) as directory:
        prison = Prison(directory)
        with contextlib.suppress(ToolTooBig):  # seen or not
            prison.python(code)
        assert (directory / "closed").exists()
        (directory / "closed").chmod(0)
        directory.chmod(0)
    assert list((state / "scratch").iterdir()) == []
    assert Path("/").exists()


def test_a_scratch_directory_is_its_users_alone(state: Path) -> None:
    with scratch(state) as directory:
        for each in (directory, directory.parent):
            assert each.stat().st_mode & 0o777 == 0o700


def test_what_a_killed_worker_left_is_swept_and_what_is_in_use_is_not(state: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from workers.confine.scratch import scratch
with scratch(Path({str(state)!r})) as directory:
    (directory / "left").mkdir(mode=0)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    with scratch(state) as used:
        assert len(list(used.parent.iterdir())) == 2
        assert sweep(state) == 1
        assert list(used.parent.iterdir()) == [used]
    assert sweep(state) == 0


def test_a_kernel_short_of_memory_ends_the_tool_before_a_worker(prison: Prison) -> None:
    scores: list[str] = []

    def look() -> None:
        while not (prison.directory / "alive").exists():
            time.sleep(0.01)
        for process in _alive(prison):
            scores.append(Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip())
            process.kill()

    looking = threading.Thread(target=look)
    looking.start()
    with pytest.raises(ToolFailed, match="signal 9"):
        prison.shell("echo > alive; sleep 1000")
    looking.join()
    assert set(scores) == {"1000"}

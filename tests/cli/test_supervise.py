"""A group of real processes: named, restarted, ended, and never left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from cli.supervise import LONGEST_WAIT, backoff

_GROUP = """
import os, sys
from cli import nursery
from cli.supervise import Child, run
nursery._AGAIN_S = AGAIN
env = {**os.environ, "PYTHONPATH": MODULES, "PYTHONUNBUFFERED": "1"}
children = [
    Child(name, [sys.executable, "-P", "-m", "what_it_is_told", code], env, GROWS) for name, code in CHILDREN
]
run(children, drain_s=DRAIN)
print("all ended", flush=True)
"""
_SLEEPER = "import os, time; print('up', os.getpid()); time.sleep(600)"
_STUBBORN = "import os, signal, time; signal.signal(15, 1); print('up', os.getpid()); time.sleep(600)"
_POLITE = """
import os, signal, time
def stop(*_):
    print('\\ndrained'); raise SystemExit(0)
signal.signal(15, stop)
print('up', os.getpid())
time.sleep(600)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(params=["started", "grown"])
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "what_it_is_told.py").write_text("import sys\nexec(sys.argv[1])\n")
    grows = request.param == "grown"

    def start(
        children: list[tuple[str, str]], drain: float = 20, again: float = 600
    ) -> subprocess.Popen[str]:
        told = f"CHILDREN, GROWS, MODULES = {children!r}, {grows}, {str(tmp_path)!r}"
        code = f"{told}\nDRAIN, AGAIN = {drain}, {again}\n{_GROUP}"
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def _until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Reads on until a line matches; what came before is shown when none does."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if match := re.search(pattern, line):
            return match
    raise AssertionError(f"no line like {pattern!r} in:\n{''.join(seen)}")


def _pid_of(process: subprocess.Popen[str], name: str) -> psutil.Process:
    return psutil.Process(int(_until(process, rf"^{name} *\| up (\d+)")[1]))


def test_each_line_carries_the_name_of_its_process(group: Start) -> None:
    process = group([("web", "print('one\\ntwo')\n" + _SLEEPER), ("reconcile", _SLEEPER)])
    assert process.stdout is not None
    lines = {process.stdout.readline() for _ in range(4)}
    assert {"web       | one\n", "web       | two\n"} <= lines
    assert any(re.fullmatch(r"reconcile \| up \d+\n", line) for line in lines)


def test_a_process_that_dies_is_started_again_and_that_is_said(group: Start) -> None:
    process = group([("deploy", _SLEEPER)])
    first = _pid_of(process, "deploy")
    first.kill()
    _until(process, r"^mooring +\| deploy killed by SIGKILL")
    second = _pid_of(process, "deploy")
    assert second.pid != first.pid
    assert not psutil.pid_exists(first.pid) or psutil.Process(first.pid).create_time() != first.create_time()


def test_a_process_that_cannot_be_found_does_not_take_the_others_down(tmp_path: Path) -> None:
    (tmp_path / "what_it_is_told.py").write_text("import sys\nexec(sys.argv[1])\n")
    told = f"CHILDREN, GROWS, MODULES, DRAIN, AGAIN = {[('web', _SLEEPER)]!r}, False, {str(tmp_path)!r}, 5, 0"
    code = _GROUP.replace("run(", "children.append(Child('lost', ['/nowhere/program'], {}))\nrun(")
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", f"{told}\n{code}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _until(process, r"lost cannot be started: .*nowhere")
        process.terminate()
        _until(process, r"^all ended")
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_group_and_leaves_nobody(group: Start, how: signal.Signals) -> None:
    process = group([("web", _POLITE), ("beat", _POLITE)])
    children = _both(process)
    process.send_signal(how)
    rest = process.communicate(timeout=60)[0]
    assert re.search(r"^web +\| drained$", rest, re.M)
    assert re.search(r"^beat +\| drained$", rest, re.M)
    assert not re.search(r"^\w+ +\| *$", rest, re.M), "an empty line says nothing"
    assert rest.endswith("all ended\n")
    assert process.returncode == 0
    assert not any(child.is_running() for child in children)


def _both(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [psutil.Process(int(_until(process, r"^\w+ *\| up (\d+)")[1])) for _ in range(2)]


def test_who_does_not_end_in_time_is_killed_with_its_whole_group(group: Start) -> None:
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-u', '-c', {_STUBBORN!r}])\n" + (
        _STUBBORN.replace("'up'", "'parent'")
    )
    process = group([("web", parent)], drain=0.2)
    grandchild = _pid_of(process, "web")
    process.terminate()
    assert process.wait(60) == 0
    _gone(grandchild)


def test_asked_a_second_time_it_does_not_wait(group: Start) -> None:
    process = group([("web", _STUBBORN)], drain=3600)
    child = _pid_of(process, "web")
    process.terminate()
    _until(process, r"once more ends them at once")
    process.terminate()
    assert process.wait(60) == 0
    assert not child.is_running()


def test_a_dead_process_leaves_no_grandchild_behind(group: Start) -> None:
    parent = textwrap.dedent(f"""
        import subprocess, sys, time
        subprocess.Popen([sys.executable, '-u', '-c', {_SLEEPER!r}])
        print('parent', __import__('os').getpid())
        time.sleep(600)
    """)
    process = group([("web", parent)])
    grandchild = _pid_of(process, "web")
    leader = grandchild.parent()
    assert leader is not None
    leader.kill()
    _until(process, "web killed by SIGKILL")
    _gone(grandchild)


def test_killing_the_supervisor_kills_its_children(group: Start) -> None:
    process = group([("web", _STUBBORN), ("beat", _STUBBORN)])
    children = _both(process)
    process.kill()
    process.wait()
    for child in children:
        _gone(child)


def test_no_zombies_are_left_while_it_runs(group: Start) -> None:
    process = group([("once", "print('up', 1)"), ("web", _SLEEPER)])
    for _ in range(3):
        _until(process, r"^once +\| up 1")
    dead = [one for one in psutil.Process(process.pid).children() if one.status() == psutil.STATUS_ZOMBIE]
    assert len(dead) <= 1, "the one that may die this very moment; not the two that died before it"


@pytest.mark.parametrize("group", ["grown"], indirect=True)
def test_what_the_dead_leave_behind_is_buried_whatever_session_it_is_in(group: Start) -> None:
    leaves = textwrap.dedent("""
        import os, time
        if os.fork() == 0:
            os.setsid()
            print('up', os.getpid())
            time.sleep(600)
        time.sleep(600)
    """)
    process = group([("web", leaves)])
    left = _pid_of(process, "web")
    leader = left.parent()
    assert leader is not None
    leader.kill()
    _until(process, "web killed by SIGKILL")
    left.kill()
    _gone(left)
    assert not psutil.pid_exists(left.pid)


def test_output_without_an_end_of_line_is_not_lost(group: Start) -> None:
    process = group([("web", "import sys; sys.stdout.write('last words')")])
    _until(process, r"^web +\| last words$")


@pytest.mark.parametrize("group", ["grown"], indirect=True)
def test_what_is_grown_is_a_process_like_any_other(group: Start) -> None:
    told = "import os, sys; print(sys.argv[2:], __name__, os.getpid() == os.getsid(0))"
    process = group([("web", f"{told}\nprint('up', os.getpid())\nimport time; time.sleep(600)")])
    assert _until(process, r"^web +\| (.*)")[1] == "[] __main__ True"
    child = _pid_of(process, "web")
    assert child.name() == "web"
    assert child.ppid() == process.pid


@pytest.mark.parametrize("group", ["grown"], indirect=True)
def test_without_the_nursery_processes_are_started_all_the_same(group: Start) -> None:
    process = group([("web", _SLEEPER)])
    first = _pid_of(process, "web")
    nursery = next(child for child in psutil.Process(process.pid).children() if child.name() != "web")
    nursery.kill()
    first.kill()
    assert _pid_of(process, "web").cmdline()[3] == "what_it_is_told"
    _gone(nursery)
    assert not psutil.pid_exists(nursery.pid)


@pytest.mark.parametrize("group", ["grown"], indirect=True)
def test_a_nursery_that_was_killed_is_begun_anew_when_a_process_is_to_grow(group: Start) -> None:
    process = group([("web", _SLEEPER)], again=0)
    first = _pid_of(process, "web")
    grown = first.cmdline()
    for _ in range(2):
        (nursery,) = (one for one in psutil.Process(process.pid).children() if one.name() != "web")
        nursery.kill()
        first.kill()
        first = _pid_of(process, "web")
        assert first.cmdline()[:4] == grown[:4], "a fork of the nursery, and named so"
        assert not psutil.pid_exists(nursery.pid)
        (another,) = (one for one in psutil.Process(process.pid).children() if one.name() != "web")
        assert another != nursery
    process.terminate()
    _until(process, "all ended")
    _gone(another)


@pytest.mark.parametrize("group", ["grown"], indirect=True)
def test_how_what_was_grown_has_ended_is_told(group: Start) -> None:
    process = group([("web", "import sys; sys.exit('mooring web: refused')")])
    _until(process, r"^web +\| mooring web: refused$")
    _until(process, r"^mooring +\| web ended with exit code 1")


def test_restarts_come_less_and_less_often() -> None:
    waits = [backoff(failures) for failures in range(1, 40)]
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == LONGEST_WAIT


def _gone(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.wait(30)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, os.getpid()

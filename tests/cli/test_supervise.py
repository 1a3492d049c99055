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

import psutil
import pytest

from cli.supervise import LONGEST_WAIT, backoff

_GROUP = """
import os, sys
from cli.supervise import Child, run
children = [Child(name, [sys.executable, "-u", "-c", code], dict(os.environ)) for name, code in CHILDREN]
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


@pytest.fixture
def group() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(children: list[tuple[str, str]], drain: float = 20) -> subprocess.Popen[str]:
        code = f"CHILDREN = {children!r}\nDRAIN = {drain}\n{_GROUP}"
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


def test_a_process_that_cannot_be_found_does_not_take_the_others_down(group: Start) -> None:
    code = _GROUP.replace("run(", "children.append(Child('lost', ['/nowhere/program'], {}))\nrun(")
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", f"CHILDREN = {[('web', _SLEEPER)]!r}\nDRAIN = 5\n{code}"],
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
    # The sleeper, and the one that may live or die this very moment; not the two that died before it.
    assert len(psutil.Process(process.pid).children()) <= 2


def test_output_without_an_end_of_line_is_not_lost(group: Start) -> None:
    process = group([("web", "import sys; sys.stdout.write('last words')")])
    _until(process, r"^web +\| last words$")


def test_restarts_come_less_and_less_often() -> None:
    waits = [backoff(failures) for failures in range(1, 40)]
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == LONGEST_WAIT


def _gone(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.wait(30)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, os.getpid()

"""A process that has read what all of ours need, and becomes one of them when it is told to.

Each of a group's processes is mostly the same 50 MB of modules. Forked from here they share them, and are at
work in a tenth of the time. It has no thread and no connection, and knows no more than those that it becomes:
not the secrets of the web tier, which is therefore started by itself.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from cli.children import adopt, start
from mooring import logs
from mooring.parent import die_with

# What they import, Celery much of it by name; but not the programs themselves: those are run anew in each.
_READ: Final = (
    "billiard.pool",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.app.routes",
    "celery.apps.worker",
    "celery.backends.base",
    "celery.beat",
    "celery.concurrency.solo",
    "celery.events.state",
    "celery.fixups.django",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.strategy",
    "encodings.idna",
    "kombu.mixins",
    "mooring.exporter",
    "mooring.garbage",
    "mooring.heaps",
    "mooring.loop",
    "unicodedata",
    "workers.confine.launch",
    "workers.family",
    "workers.gauges",
    "workers.lease",
    "workers.observer.observer",
    "workers.worker",
)
_LONGEST: Final = 1 << 17  # bytes of one request: an environment and little else
_PATIENCE_S: Final = 20.0  # what it has to read at first takes one or two
_AGAIN_S: Final = 60.0  # from one nursery to the next in its place, at least
_ADOPTED_IN: Final = 5_000  # milliseconds: the child in between ends at once


class Grown:
    """A process that the nursery has become, adopted by us: as much of a Popen as a group needs."""

    def __init__(self, pid: int, stdout: int) -> None:
        self.pid = pid
        self.stdout = open(stdout, "rb", buffering=0)  # noqa: SIM115 - closed by who buries it

    def wait(self) -> int:
        """Its exit code, negative for a signal, once it has ended."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


class Nursery:
    """The way to it from the process whose children they become. `env` is the environment of the nursery.

    One that is gone is begun anew, in time, when something is to grow: what is started by itself shares
    nothing with the others.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        adopt()
        self._env = env
        self._begin()

    def _begin(self) -> None:
        self._began = time.monotonic()
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.settimeout(_PATIENCE_S)
        for end in (self._ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST)
        with theirs:
            argv = (sys.executable, "-P", "-m", "cli.nursery", str(theirs.fileno()), str(os.getpid()))
            self._process = start(argv, self._env, pass_fds=(theirs.fileno(),))

    def grow(self, name: str, module: str, arguments: Sequence[str], env: Mapping[str, str]) -> Grown:
        """A process called `name` that runs `module` with `arguments` in `env`. Raises OSError when there is
        none."""
        if self._ours.fileno() < 0 and time.monotonic() - self._began >= _AGAIN_S:
            self._begin()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            program = {"name": name, "module": module, "arguments": list(arguments), "env": dict(env)}
            asked = json.dumps(program).encode()
            socket.send_fds(self._ours, [asked], [writing])
            answer = self._ours.recv(32)
            if not answer:
                raise ConnectionError("the nursery is gone")
            return Grown(int(answer), reading)
        except OSError:  # one that does not answer in time is one of them
            os.close(reading)
            self.close()
            raise
        finally:
            os.close(writing)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def close(self) -> None:
        """It ends, and grows nothing more; those that it has become go on."""
        self._ours.close()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def main() -> None:
    """Become what is asked for, in a child each, until who asks is gone."""
    asking, parent = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    for name in _READ:
        importlib.import_module(name)
    logs.logger()
    ssl.create_default_context()  # what all of them read for it stays
    gc.collect()
    gc.freeze()
    asked, output = _asked(asking)
    asking.close()
    _become(asked, output, parent)


def _asked(asking: socket.socket) -> tuple[dict[str, Any], int]:
    """Forks for each request; returns in the child alone."""
    while True:
        message, fds, _, _ = socket.recv_fds(asking, _LONGEST, 1)
        if not message:
            sys.exit()
        # The child in between ends at once, and who asked is given its child: the nearest that adopts.
        told, tell = os.pipe()
        between = os.fork()
        if between == 0:
            pid = os.fork()
            if pid == 0:
                os.close(told)
                os.close(tell)
                return json.loads(message), fds[0]
            os.write(tell, str(pid).encode())
            os._exit(0)
        os.waitpid(between, 0)
        asking.send(os.read(told, 32))  # only now it is theirs, and how it ends can be asked
        for fd in (fds[0], told, tell):
            os.close(fd)


def _become(asked: Mapping[str, Any], output: int, parent: int) -> None:
    """The rest of this process is that program. What it raises, its exit included, is nobody's here."""
    os.setsid()
    for _ in range(_ADOPTED_IN):
        if os.getppid() == parent:
            break
        time.sleep(0.001)
    die_with(parent)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    for fd in (1, 2):
        os.dup2(output, fd)
    os.close(output)
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = [asked["module"], *asked["arguments"]]
    # Its command line stays the nursery's; `top` and `ps -o comm` show this.
    Path("/proc/self/comm").write_text(asked["name"])
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

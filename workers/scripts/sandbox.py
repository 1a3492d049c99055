"""Where scripts are evaluated: in a confined child, since they may never end, ask for all the memory there
is, or know a flaw of their interpreter. It is started at the first question, kept for a while, and then
another. Who has one end has the next one for himself: whoever asks about other clusters waits for him once.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import orjson

from mooring.errors import RenderFailed
from mooring.settings import Settings
from workers.confine.run import Bounds, Command, ToolFailed, ToolTooBig, python
from workers.confine.scratch import scratch
from workers.confine.talk import Talk
from workers.scripts import evaluate

_KEPT_S: Final = 30.0  # how long one child answers; unused, it ends by itself after twice that
_APART_S: Final = 300.0  # how long whoever had a child end has one of his own
_PATIENCE_S: Final = 30.0  # of a machine that others keep busy: the child counts what it is given
_PROGRAM: Final = Path(evaluate.__file__).resolve()
_LOOP: Final = f"has not ended after {evaluate.SECONDS:g} s: look for a loop"
_TOO_MUCH: Final = f"needs more than {evaluate.MEMORY >> 20} MiB of memory"

Answer = dict[str, Any]


class Sandbox:
    """The child of this process, and those of whoever had one end. Safe for threads, one at a time each."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._apart: dict[str, tuple[Sandbox, float]] = {}  # by who asks; until when
        self._parting = threading.Lock()
        self._lock = threading.Lock()
        self._talk: Talk | None = None
        self._began = 0.0
        self._ends = ExitStack()

    def ask(self, question: Mapping[str, Any], who: str = "") -> Answer:
        """What evaluate.py answers to `question`, which is about objects of `who`. Raises Lost when nobody
        was there to answer, which says nothing about the script nor the object."""
        asked = self._of(who)
        try:
            answer = asked._answer(question)
        except Lost:
            self._part(who)
            raise
        if "ended" in answer:
            self._part(who)
        return answer

    def _of(self, who: str) -> Sandbox:
        with self._parting:
            over = [one for one, (_, until) in self._apart.items() if until < time.monotonic()]
            gone = [self._apart.pop(one)[0] for one in over]
            found = self._apart.get(who, (self, 0.0))[0]
        for one in gone:
            one.close()
        return found

    def _part(self, who: str) -> None:
        if who:
            with self._parting:
                own = self._apart[who][0] if who in self._apart else Sandbox(self._settings)
                self._apart[who] = own, time.monotonic() + _APART_S

    def _answer(self, question: Mapping[str, Any]) -> Answer:
        try:
            asked = orjson.dumps(question)
        except orjson.JSONEncodeError:  # what could be read may be nested deeper than what can be written
            return {"error": "was not evaluated: the object is nested too deep"}
        with self._lock:
            try:
                told: Answer = orjson.loads(self._talking().ask(asked, _PATIENCE_S))
            except ToolFailed as error:
                self._end()
                if error.code == -signal.SIGKILL:  # by a kernel short of memory, or by a person
                    raise Lost("its program was ended from outside; try again") from error
                return {"ended": _why(error)}
            except ToolTooBig:
                self._end()
                return {"ended": _TOO_MUCH}
            except OSError as error:
                self._end()
                raise Lost(f"its program could not be started: {error.strerror}") from error
            except (RenderFailed, orjson.JSONDecodeError) as error:
                self._end()
                raise Lost(str(error)) from error
            except BaseException:  # as a time limit of Celery's: the next one must not get this answer
                self._end()
                raise
        return told

    def close(self) -> None:
        """End all children that there are."""
        with self._parting:
            apart, self._apart = self._apart, {}
        for one, _ in apart.values():
            one.close()
        with self._lock:
            self._end()

    def _talking(self) -> Talk:
        if self._talk is not None and time.monotonic() - self._began < _KEPT_S:
            return self._talk
        self._end()
        bounds = Bounds(
            seconds=2 * _KEPT_S + _PATIENCE_S,
            memory_bytes=evaluate.MEMORY,
            file_bytes=0,
            processes=1,
            tick_s=0.25,
            unconfined=self._settings.render_unconfined,
        )
        libraries = _libraries()
        directory = self._ends.enter_context(scratch(self._settings.state_directory()))
        command = Command(
            (sys.executable, "-I", "-S", str(_PROGRAM), *map(str, libraries)),
            directory,
            readable=(*python(), _PROGRAM, *libraries),
        )
        self._began = time.monotonic()
        self._talk = Talk(command, bounds)
        self._ends.callback(self._talk.close)
        return self._talk

    def _end(self) -> None:
        self._talk = None
        self._ends.close()


class Lost(Exception):
    """The child could not be started, or was ended by somebody else."""


def _why(error: ToolFailed) -> str:
    if error.code in (-signal.SIGPROF, -signal.SIGXCPU):
        return _LOOP
    return _TOO_MUCH if error.code == -signal.SIGABRT else f"has broken its interpreter (code {error.code})"


def _libraries() -> tuple[Path, ...]:
    """Where the packages of both languages lie; they are not loaded here."""
    found = (importlib.util.find_spec(name) for name in ("lupa", "cel_expr_python"))
    places = {
        Path(place).resolve().parent for one in found if one for place in one.submodule_search_locations or ()
    }
    return tuple(sorted(places))

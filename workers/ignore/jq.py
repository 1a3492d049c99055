"""Where path expressions of jq lead in an object, found by a confined child: strangers write them.

An expression may never end, ask for all the memory there is, read files by `import`, or know a flaw of the
library. One child evaluates all expressions of an app on all objects that are asked about; for an app without
expressions there is none.
https://jqlang.org/manual/#path
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from mooring.errors import Refused, RenderFailed, Retryable
from mooring.settings import Settings
from workers.confine.run import Bounds, Command, ToolFailed, ToolLost, ToolTimedOut, python, run
from workers.confine.scratch import scratch
from workers.ignore import evaluate
from workers.ignore.rules import Expression, wrong

_TOGETHER_S: Final = 10.0  # all expressions of an app, on all of its objects
_NUMBER: Final = re.compile(r"^(\d{1,6})$", re.MULTILINE)
_PLACE: Final = re.compile(r" at <top-level>, (line \d+, column \d+):?$")
_METADATA: Final = ("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences")
_LOOP: Final = f"has not ended after {evaluate.SECONDS:g} s: look for a loop"
_TOO_MUCH: Final = f"needs more than {evaluate.MEMORY >> 20} MiB of memory: look for a recursion without end"

Place = Sequence[Any]  # keys, indexes and slices; negative indexes count from the end


class Jq:
    """What the expressions of one app name, for as long as it is looked at. Safe for threads.

    Every method may raise Refused for an expression that is none, does not end or names no places, and
    Retryable when the child was lost.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[tuple[str, str], tuple[Place, ...]] = {}

    def check(self, expressions: Sequence[Expression]) -> None:
        """Whether they are expressions at all, and come to an end where there is nothing; found out once in a
        process."""
        new = [each for each in expressions if each.text not in _checked]
        if new:
            self._ask(new, ["{}"], [(number, 0) for number in range(len(new))])
            if len(_checked) > _KEPT:
                _checked.clear()
            _checked.update(each.text for each in new)

    def learn(self, asked: Iterable[tuple[Sequence[Expression], Mapping[str, Any]]]) -> None:
        """Evaluate each of these expressions on its body, in one child, so that `places` knows."""
        programs: dict[str, Expression] = {}
        documents: dict[str, str] = {}
        tasks: dict[tuple[str, str], None] = {}
        for expressions, body in asked:
            name, text = _document(body)
            for each in expressions:
                if (each.text, name) not in self._known:
                    programs.setdefault(each.text, each)
                    documents[name] = text
                    tasks[each.text, name] = None
        if not tasks:
            return
        numbers = {text: number for number, text in enumerate(programs)}
        order = {name: number for number, name in enumerate(documents)}
        results = self._ask(
            list(programs.values()),
            list(documents.values()),
            [(numbers[text], order[name]) for text, name in tasks],
        )
        for task, found in zip(tasks, results, strict=True):
            if isinstance(found, str):
                raise wrong(programs[task[0]].where, found)
            self._known[task] = tuple(found or ())

    def places(self, expressions: Sequence[Expression], body: Mapping[str, Any]) -> list[Place]:
        """What the expressions name in `body`; nothing of one that does not apply to it."""
        if not expressions:
            return []
        self.learn([(expressions, body)])
        name, _ = _document(body)
        return [place for each in expressions for place in self._known[each.text, name]]

    def _ask(
        self, programs: Sequence[Expression], documents: Sequence[str], tasks: Sequence[tuple[int, int]]
    ) -> list[Any]:
        asked = {
            "jq": str(_library()),
            "programs": [each.text for each in programs],
            "documents": documents,
            "tasks": tasks,
        }
        bounds = Bounds(
            seconds=_TOGETHER_S,
            memory_bytes=evaluate.MEMORY,
            file_bytes=0,
            processes=1,
            unconfined=self._settings.render_unconfined,
        )
        program = str(Path(evaluate.__file__).resolve())
        try:
            with scratch(self._settings.state_directory()) as directory:
                command = Command(
                    (sys.executable, "-I", "-S", program),
                    directory,
                    stdin=orjson.dumps(asked),
                    readable=(*python(), Path(program), _library()),
                )
                said = orjson.loads(run(command, bounds).stdout)
        except ToolLost as error:
            raise Retryable(f"jqPathExpressions could not be evaluated: {error}") from error
        except ToolFailed as error:
            raise _blamed(error, programs) from error
        except RenderFailed as error:
            why = f"jqPathExpressions were not evaluated: {error}"
            if isinstance(error, ToolTimedOut):
                why = (
                    f"jqPathExpressions take more than {_TOGETHER_S:g} s on the objects of this app together"
                )
            raise wrong(_of_all(programs), why) from error
        for number, message in said["wrong"].items():
            raise wrong(programs[int(number)].where, _told(message))
        return list(said["results"])


_KEPT: Final = 10_000
_checked: set[str] = set()


def _blamed(error: ToolFailed, programs: Sequence[Expression]) -> Refused:
    """Which expression it was that ended the child, and why. What jq itself says may hold values."""
    last = max(_NUMBER.finditer(error.stderr), key=lambda found: found.start(), default=None)
    number = int(last[1]) if last else -1
    where = programs[number].where if 0 <= number < len(programs) else _of_all(programs)
    if error.code == -signal.SIGVTALRM:
        return wrong(where, _LOOP)
    if error.code == -signal.SIGABRT or "MemoryError" in error.stderr:
        return wrong(where, _TOO_MUCH)
    return wrong(where, f"jq cannot evaluate it: it ended with code {error.code}")


def _of_all(programs: Sequence[Expression]) -> str:
    """Where one is written that may be to blame, where it cannot be told which it is."""
    own = any(each.where.startswith("spec.") for each in programs)
    return "spec.ignoreDifferences" if own else programs[0].where


def _told(message: str) -> str:
    """A compiler's message as part of a line: what is wrong, and where in the expression."""
    first = message.removeprefix("jq: error: ").partition("\n")[0]
    return f"is no expression of jq: {_PLACE.sub(lambda found: f' ({found[1]})', first)}"


def _document(body: Mapping[str, Any]) -> tuple[str, str]:
    """The name and the text of what expressions see of a body: no status, nothing that the server counts."""
    seen = {name: value for name, value in body.items() if name != "status"}
    seen["metadata"] = {name: value for name, value in body["metadata"].items() if name in _METADATA}
    data = orjson.dumps(seen)
    return hashlib.sha256(data).hexdigest(), data.decode()


def _library() -> Path:
    """Where the library is; it is not loaded here."""
    spec = importlib.util.find_spec("jq")
    if spec is None or spec.origin is None:
        raise wrong(
            "spec.ignoreDifferences", "the Python package jq is not installed beside Mooring: install it"
        )
    return Path(spec.origin).resolve()

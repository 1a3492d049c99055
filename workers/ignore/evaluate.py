"""Evaluates path expressions of jq: a program of its own, run confined by jq.py, without any of Mooring.

It reads JSON: `jq` is the file of the library, `programs` are expressions, `documents` texts of JSON, `tasks`
pairs of their numbers. It prints JSON: `wrong` says of each program that is none why, `results` has for each
task the paths, null where the program does not apply to the document, or why it names no places. Before each
step the number of its program goes to stderr: where that step ends everything, one knows which it was.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import itertools
import json
import os
import resource
import signal
import sys
from typing import Any

SECONDS = 1.0  # of the processor, for one program on one document; as Argo CD has it
MEMORY = 512 << 20
MOST = 10_000  # places


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    asked = json.load(sys.stdin)
    jq = _library(asked["jq"])
    programs: list[Any] = []
    wrong: dict[int, str] = {}
    for number, text in enumerate(asked["programs"]):
        _begin(number)
        try:
            jq.compile(text)  # by itself: it could close the bracket that it is put in
            programs.append(jq.compile(f"path({text}\n)"))
        except ValueError as error:
            wrong[number] = str(error)
            programs.append(None)
    results = []
    for program, document in () if wrong else asked["tasks"]:
        _begin(program)
        results.append(_places(programs[program], asked["documents"][document]))
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    json.dump({"wrong": wrong, "results": results}, sys.stdout)


def _places(program: Any, document: str) -> list[Any] | str | None:
    try:
        found = list(itertools.islice(iter(program.input_text(document)), MOST + 1))
    except ValueError as error:  # its text may hold values
        return "computes a value, which is no path" if str(error).startswith("Invalid path") else None
    return found if len(found) <= MOST else f"names more than {MOST} fields of one object"


def _begin(number: int) -> None:
    # One that does not come to its end never comes back to Python: the kernel ends it.
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    os.write(2, b"\n%d\n" % number)


def _library(path: str) -> Any:
    loader = importlib.machinery.ExtensionFileLoader("jq", path)
    spec = importlib.util.spec_from_loader("jq", loader)
    assert spec is not None
    found = importlib.util.module_from_spec(spec)
    loader.exec_module(found)
    return found


if __name__ == "__main__":
    main()

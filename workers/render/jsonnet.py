"""Evaluates the Jsonnet files of a directory, by go-jsonnet on copies of what they may import.

It is the evaluator that Argo CD has inside. Neither library on PyPI gives the same: see docs/dependencies.md.
https://argo-cd.readthedocs.io/en/stable/user-guide/jsonnet/
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from mooring.errors import RenderFailed
from mooring.model.spec import Directory, Jsonnet, JsonnetVar
from mooring.text import printable
from workers.confine.run import Bounds, Command, ToolFailed, ToolTimedOut, run
from workers.confine.scratch import scratch
from workers.git.tree import clean_path
from workers.render.build_env import build_env, names_revision, substitute
from workers.render.jsonnet_imports import closure
from workers.render.source import Job
from workers.render.tools import Tool, find
from workers.render.yaml_reader import Document, read_documents

_REPOSITORY: Final = "repo"  # the directory of the copies
_RUNTIME: Final = "RUNTIME ERROR: "
# As any program in Go, when its stack or its memory is full.
_GAVE_UP: Final = re.compile(r"^(?:fatal error|panic): (.{1,200})$", re.MULTILINE)
_IMPORT: Final = "couldn't open import "  # what follows is a name of the program's text
_COMPARED: Final = "Assertion failed. "  # what std.assertEqual says before it prints both sides
# Where a program prints a value of its own, which may be a Secret, or part of one: JSON, or YAML in quotes.
_VALUE: Final = re.compile(r"""[{\[]\s*+"|"[^"\n]*+"\s*+:\s""")
_SHORTENED: Final = 1000
# app/main.jsonnet:3:6-9, or app/main.jsonnet:(3:6)-(5:2)
_PLACE: Final = re.compile(r"(?P<file>.+?):\(?(?P<line>\d+):\d+[-:)(\d]* ?(?P<rest>.*)")


def inputs(job: Job) -> Any:
    """What shapes the result and is no file."""
    options = _options(job)
    try:
        version = find("jsonnet").version
    except RenderFailed:
        version = ""  # which only those are told who have Jsonnet
    return [version, list(options.libs), *([each.name, each.value, each.code] for each in _variables(job))]


def evaluated(job: Job, paths: Sequence[str]) -> Iterator[tuple[str, list[Document]]]:
    """The objects of each of these Jsonnet files of `job`, with its path. A file gives an object, or an array
    of them.

    Raises RenderFailed, naming file and line, for what the evaluator refuses, what leads out of the
    repository, and what takes too long, too much memory or gives too much.
    """
    if not paths:
        return
    jsonnet, files = find("jsonnet"), job.files
    options = _options(job)
    if names_revision(each.value for each in (*options.ext_vars, *options.tlas)):
        files.name_commit()
    folders = [clean_path(job.source.path), *(clean_path(lib.lstrip("/")) for lib in options.libs)]
    snippets = [(f"directory.jsonnet: {each.name}", each.value) for each in _variables(job) if each.code]
    needed = closure(files, paths, snippets, folders)
    until = time.monotonic() + job.parameters.seconds
    left = files.limits.total_bytes
    with scratch(job.parameters.scratch) as directory:
        (directory / _REPOSITORY).mkdir()
        files.copy(needed, directory / _REPOSITORY)
        for path in paths:
            bounds = Bounds(
                seconds=max(until - time.monotonic(), 0.1),
                output_bytes=max(left, 1),
                unconfined=job.parameters.unconfined,
            )
            command = Command(_command(jsonnet, job, folders, path), directory, cwd=_REPOSITORY)
            printed = _run(command, bounds, printable(path), job.parameters.seconds)
            left -= len(printed)
            yield path, _documents(printed, printable(path))


def _options(job: Job) -> Jsonnet:
    return (job.source.directory or Directory()).jsonnet


def _variables(job: Job) -> list[JsonnetVar]:
    """The external variables and the top-level arguments, with what they name of the build environment."""
    env, options = build_env(job), _options(job)
    return [
        JsonnetVar(name=each.name, value=substitute(each.value, env), code=each.code)
        for each in (*options.ext_vars, *options.tlas)
    ]


def _command(jsonnet: Tool, job: Job, folders: Sequence[str], path: str) -> tuple[str, ...]:
    argv = [str(jsonnet.path)]
    for folder in folders:
        argv += ["--jpath", _no_option(folder or ".")]
    external = len(_options(job).ext_vars)
    for index, each in enumerate(_variables(job)):
        where = "extVars" if index < external else "tlas"
        if not each.name or each.name[0] == "-" or "=" in each.name or "\0" in each.name + each.value:
            raise RenderFailed(
                f"spec.source.directory.jsonnet.{where}: {each.name[:80]!r} cannot be passed on: a name must "
                "not be empty, begin with '-' or have a '=', and there must be no NUL"
            )
        argv += [
            f"--{'ext' if where == 'extVars' else 'tla'}-{'code' if each.code else 'str'}",
            f"{each.name}={each.value}",
        ]
    return (*argv, "--", _no_option(path))


def _no_option(path: str) -> str:
    # It takes what begins with a single dash apart into letters, wherever it stands.
    return f"./{path}" if path.startswith("-") else path


def _run(command: Command, bounds: Bounds, path: str, seconds: float) -> bytes:
    try:
        return run(command, bounds).stdout
    except ToolTimedOut as error:
        raise ToolTimedOut(
            f"was not evaluated after {seconds:g} s: look for a loop, or render less", where=path
        ) from error
    except ToolFailed as error:
        message, where = _told(error.stderr)
        others = f" (evaluated for {path})" if where and where.rpartition(":")[0] != path else ""
        raise RenderFailed(f"{message or error}{others}", where=where or path) from error
    except RenderFailed as error:
        raise error.told(str(error), where=path) from error


def _told(stderr: str) -> tuple[str, str]:
    """What the evaluator said, on one line, and where in the repository that was."""
    if gave_up := _GAVE_UP.search(stderr):
        return f"go-jsonnet gave up: {printable(gave_up[1])}; look for a recursion without end", ""
    said, _, trace = stderr.strip().partition("\n\t")
    wrong = _PLACE.match(said)
    if wrong and not said.startswith(_RUNTIME):  # it is no Jsonnet: the place comes first, its text behind
        return printable(wrong["rest"][:_SHORTENED]), printable(f"{wrong['file']}:{wrong['line']}")
    # What is in angle brackets is no file: the standard library, a variable.
    places = (_PLACE.match(call) for call in trace.split("\n\t") if not call.startswith("<"))
    place = next((each for each in places if each), None)
    where = printable(f"{place['file']}:{place['line']}") if place else ""
    words = said.removeprefix(_RUNTIME)
    if words.startswith(_COMPARED):
        return (
            "Assertion failed: std.assertEqual was given values that differ; they are not repeated here",
            where,
        )
    if not words.startswith(_IMPORT) and (value := _VALUE.search(words)):
        words = f"{words[: value.start()]}{{…}}"
    return " ".join(words.split())[:_SHORTENED], where


def _documents(printed: bytes, path: str) -> list[Document]:
    # Read inside of an object: it may be an array, or null where a condition did not hold.
    (holder,), _ = read_documents(b'{"value":' + printed + b"}", path)
    value = holder.body["value"]
    objects = value if isinstance(value, list) else [value]
    for index, each in enumerate(objects):
        if each is not None and not isinstance(each, dict):
            what = f"element {index} of the array" if objects is value else "the result"
            raise RenderFailed(
                f"{what} must be an object, it is {_kind(each)}: give one object, or an array of objects",
                where=path,
            )
    return [Document(each, 1) for each in objects if each is not None]


def _kind(value: Any) -> str:
    return {list: "an array", str: "a string", bool: "a boolean"}.get(type(value), "a number")

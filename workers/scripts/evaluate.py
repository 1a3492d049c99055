"""Evaluates scripts and expressions: a program of its own, kept by sandbox.py as a confined child.

Its arguments are directories in which the libraries are. It reads questions and prints answers, each a line
of JSON. A question is an `object` with a `lua` script (`open`: with Lua's libraries), or with expressions
`cel`, in progress, failed and current. An answer is a `status` and a `message`, or `none`, or an `error`, or
how the script was `ended`. One that takes too long ends everything: then the question that is open was the
reason.

A script that `asks` for "actions" is answered with those that the object has, `actions`. One that asks for an
"action" gets `parameters`, and is answered with `resources`: what is to be done to which object.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import sys
from typing import Any

SECONDS = 1.0  # of the processor, for one check of one object; as Argo CD has it
MEMORY = 512 << 20
LUA_MEMORY = 64 << 20
LONGEST = 2000  # characters of a message
DEEPEST = 100  # levels of an object
MOST = 4 << 20  # bytes of an answer: the largest object that an API server keeps, twice

STATUSES = ("Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown")

# What Argo CD opens for each script, without what reaches files, the interpreter or bytecode. `getmetatable`
# of a string leads to the library for strings, which is only there where it is asked for.
# https://argo-cd.readthedocs.io/en/stable/operator-manual/health/#way-1-define-a-custom-health-check-in-argocd-cm-configmap
_PRELUDE = """
local open = ...
local modules = {os = {time = os.time, date = os.date}, table = table}
local kept = {
  assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs, next = next, pairs = pairs,
  pcall = pcall, rawequal = rawequal, rawget = rawget, rawset = rawset, select = select,
  setmetatable = setmetatable, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack,
  xpcall = xpcall, _VERSION = _VERSION, _G = _G, print = function() end,
}
string.dump = nil
if open then
  modules.string, modules.math, modules.coroutine = string, math, coroutine
else
  getmetatable("").__index = nil
end
getmetatable("").__metatable = false
for name, module in pairs(modules) do kept[name] = module end
kept.require = function(name)
  return modules[name] or error("module " .. tostring(name) .. " is not there", 2)
end
for name in pairs(_G) do
  if kept[name] == nil then _G[name] = nil end
end
for name, value in pairs(kept) do _G[name] = value end
"""

_ENVIRONMENT = "extensions: [{name: optional}, {name: strings}, {name: sets}, {name: encoders}]"
# Of a field that is not there (yet), Flux waits until it is.
_ABSENT = ("NOT_FOUND", "UNKNOWN: No value with name")

_programs: dict[str, Any] = {}
_MOST_PROGRAMS = 1000


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.path += sys.argv[1:]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # nobody reads it
    for line in sys.stdin.buffer:
        told = json.dumps(_answer(line))
        if len(told) > MOST:
            told = json.dumps({"error": f"gives more than {MOST >> 20} MiB"})
        print(told, flush=True)


def _answer(line: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(line)
        if "lua" in asked:
            return _lua(asked)
        return _cel(asked["cel"], asked["object"])
    except MemoryError:
        return {"ended": f"needs more than {MEMORY >> 20} MiB of memory"}
    except RecursionError:
        return {"error": "was not evaluated: the object is nested too deep"}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _begin() -> None:
    # One that does not come to its end never comes back to Python: the kernel ends it.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)


# --- Lua --------------------------------------------------------------------------------------------
def _lua(asked: dict[str, Any]) -> dict[str, Any]:
    from lupa import lua51  # the Lua that Argo CD's is like

    def denied(*_: Any) -> Any:
        raise AttributeError("nothing of Python is here")

    script, body = asked["lua"], asked["object"]
    if script.startswith("\x1b"):
        return {"error": "is no text: bytecode is not run"}
    _begin()
    lua = lua51.LuaRuntime(
        register_eval=False, register_builtins=False, attribute_filter=denied, max_memory=LUA_MEMORY
    )
    try:
        lua.execute(_PRELUDE, asked["open"])
        lua.globals()["obj"] = lua.table_from(_numbers(body), recursive=True)
        lua.globals()["actionParams"] = lua.table_from(asked.get("parameters", {}))
        found = lua.execute(script)
        if isinstance(found, tuple):
            found = found[-1]
        match asked.get("asks"):
            case "actions":
                return {"actions": _actions(_plain(found, {}))}
            case "action":
                return {"resources": _resources(found, body)}
        if found is None:
            return {"none": True}
        if lua51.lua_type(found) != "table":
            return {"error": f"expect table output from Lua script, not {_type(found)}"}
        if not any(True for _ in found):
            return {"none": True}
        return _told(found["status"], found["message"])
    except lua51.LuaMemoryError:
        return {"ended": f"needs more than {LUA_MEMORY >> 20} MiB of memory"}
    except lua51.LuaError as error:
        return {"error": _first_line(error)}
    except UnicodeDecodeError:
        return {"error": "gives text that is not UTF-8"}
    except _Senseless as error:
        return {"error": str(error)}


class _Senseless(Exception):
    """What a script returns cannot be meant."""


def _numbers(value: Any) -> Any:
    """`value` with numbers as Lua has them."""
    if isinstance(value, dict):
        return {name: _numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _told(status: Any, message: Any) -> dict[str, Any]:
    if status not in STATUSES:
        return {"status": "Unknown", "message": "Lua returned an invalid health status"}
    if message is not None and not isinstance(message, str):
        return {"error": f"gives a message that is no text but a {_type(message)}"}
    return {"status": status, "message": (message or "")[:LONGEST]}


def _actions(found: Any) -> list[dict[str, Any]]:
    """The actions that a script tells of, by their names."""
    if not isinstance(found, dict):
        raise _Senseless("returns no table of actions by their names")
    told = []
    for name, fields in found.items():
        fields = fields if isinstance(fields, dict) else {}
        parameters = fields.get("params") or fields.get("parameters") or []
        if not isinstance(parameters, list) or not all(isinstance(one, dict) for one in parameters):
            raise _Senseless(f"gives {name[:50]!r} parameters that are no list of tables")
        told.append(
            {
                "name": name[:LONGEST],
                "disabled": fields.get("disabled") is True,
                "iconClass": _words(fields.get("iconClass")),
                "displayName": _words(fields.get("displayName")),
                "parameters": [
                    {"name": _words(one.get("name")), "default": _words(one.get("default"))}
                    for one in parameters
                ],
            }
        )
    return told


def _resources(found: Any, body: Any) -> list[dict[str, Any]]:
    """What is to be done: a script returns its object, changed, or a list of operations on objects."""
    entries = _entries(found)
    if entries and 1 not in entries:
        return [{"operation": "patch", "resource": _plain(found, body)}]
    told = []
    for place in range(1, len(entries) + 1):
        one = _entries(entries.get(place))
        operation = one.get("operation")
        resource = _plain(one.get("resource"), body if operation == "patch" else None)
        if not isinstance(operation, str) or not isinstance(resource, dict):
            raise _Senseless(f"returns a list whose entry {place} lacks an operation or a resource")
        told.append({"operation": operation[:LONGEST], "resource": resource})
    if not told:
        raise _Senseless("returns neither its object nor a list of operations")
    return told


def _entries(value: Any) -> dict[Any, Any]:
    """The fields of a table as they lie there, whatever it pretends to have; nothing of what is none."""
    return dict(value.items()) if value is not None and _type(value) == "table" else {}


def _words(value: Any) -> str:
    return str(value)[:LONGEST] if isinstance(value, str | int | float) else ""


def _plain(value: Any, like: Any, depth: int = 0) -> Any:
    """What a script gives, as JSON has it; `like` was there before: Lua does not tell an empty list from an
    empty mapping, and rounds large numbers."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        if isinstance(like, int | float) and not isinstance(like, bool) and float(like) == value:
            return like
        if not math.isfinite(value):
            raise _Senseless("gives a number that is none")
        return value
    if depth > DEEPEST:
        raise _Senseless(f"gives what is nested deeper than {DEEPEST} levels, or in itself")
    if _type(value) != "table":
        raise _Senseless("gives a function or thread where a value belongs")
    entries = _entries(value)
    if not entries:
        return [] if isinstance(like, list) else {}
    if all(isinstance(name, str) for name in entries):
        known = like if isinstance(like, dict) else {}
        return {name: _plain(one, known.get(name), depth + 1) for name, one in entries.items()}
    if set(entries) != set(range(1, len(entries) + 1)):
        raise _Senseless("gives a table that is neither a list nor a mapping by names")
    before = like if isinstance(like, list) else []
    places = range(len(entries))
    return [_plain(entries[i + 1], before[i] if i < len(before) else None, depth + 1) for i in places]


def _type(value: Any) -> str:
    from lupa import lua51

    names = {bool: "boolean", float: "number", int: "number", str: "string"}
    return names.get(type(value)) or ("table" if lua51.lua_type(value) == "table" else "function or thread")


def _first_line(error: Exception) -> str:
    """What went wrong, as `line 3: …`; Lua names the script by its text."""
    text = str(error).partition("\nstack traceback")[0].strip()
    _, bracket, rest = text.partition('"]:')
    line, colon, why = rest.partition(":")
    told = f"line {line}:{why}" if bracket and colon and line.isdigit() else text
    return " ".join(told.split())[:LONGEST] or "fails, and says nothing"


# --- CEL --------------------------------------------------------------------------------------------
def _cel(expressions: dict[str, str], body: Any) -> dict[str, Any]:
    from cel_expr_python import cel

    if "" not in _programs:
        _programs[""] = cel.NewEnv(config=cel.NewEnvConfigFromYaml(_ENVIRONMENT))
    _begin()
    message = _ready(body)
    if _is_behind(body):
        return {"status": "Progressing", "message": message}
    verdicts = (("inProgress", "Progressing"), ("failed", "Degraded"), ("current", "Healthy"))
    for name, status in verdicts:
        if not expressions[name]:
            continue
        try:
            value = _compiled(expressions[name]).eval(data=body)
        except RuntimeError as error:
            return {"error": f"{name}: {_complaint(str(error))}"}
        if value.type() == cel.Type.ERROR:
            why = _complaint(str(value.value()))
            if why.startswith(_ABSENT):
                return {"status": "Progressing", "message": f"{name}: {why.partition(': ')[2]}"}
            return {"error": f"{name}: {why}"}
        if value.type() != cel.Type.BOOL:
            return {"error": f"{name} is neither true nor false"}
        if value.value():
            return {"status": status, "message": message}
    return {"status": "Progressing", "message": message}


def _complaint(text: str) -> str:
    """An error as a line, without the expression that a compiler draws below it."""
    return " ".join(text.partition("\n |")[0].split())[:LONGEST]


def _compiled(text: str) -> Any:
    if text not in _programs:
        if len(_programs) > _MOST_PROGRAMS:
            environment = _programs[""]
            _programs.clear()
            _programs[""] = environment
        # Kinds have no types here, as in Flux: fields are found out when they are read.
        _programs[text] = _programs[""].compile(text, disable_check=True)
    return _programs[text]


def _is_behind(body: Any) -> bool:
    """Whether the status tells of an older generation. https://github.com/fluxcd/flux2/tree/main/rfcs/0009-custom-health-checks"""
    seen, wanted = _at(body, "status", "observedGeneration"), _at(body, "metadata", "generation")
    return isinstance(seen, int) and isinstance(wanted, int) and seen != wanted


def _ready(body: Any) -> str:
    """What the object's condition Ready says, for people."""
    conditions = _at(body, "status", "conditions")
    for one in conditions if isinstance(conditions, list) else ():
        if isinstance(one, dict) and one.get("type") == "Ready" and isinstance(one.get("message"), str):
            return str(one["message"])[:LONGEST]
    return ""


def _at(body: Any, *path: str) -> Any:
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body


if __name__ == "__main__":
    main()

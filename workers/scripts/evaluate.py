"""Evaluates scripts and expressions: a program of its own, kept by sandbox.py as a confined child.

Its arguments are directories in which the libraries are. It reads questions and prints answers, each a line
of JSON. A question is an `object` with a `lua` script (`open`: with Lua's libraries), or with expressions
`cel`, in progress, failed and current. An answer is a `status` and a `message`, or `none`, or an `error`, or
how the check was `ended`. One that takes too long ends everything: then the question that is open was the
reason.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Any

SECONDS = 1.0  # of the processor, for one check of one object; as Argo CD has it
MEMORY = 512 << 20
LUA_MEMORY = 64 << 20
LONGEST = 2000  # characters of a message

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
        print(json.dumps(_answer(line)), flush=True)


def _answer(line: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(line)
        if "lua" in asked:
            return _lua(asked["lua"], asked["object"], open_libs=asked["open"])
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
def _lua(script: str, body: Any, *, open_libs: bool) -> dict[str, Any]:
    from lupa import lua51  # the Lua that Argo CD's is like

    def denied(*_: Any) -> Any:
        raise AttributeError("nothing of Python is here")

    if script.startswith("\x1b"):
        return {"error": "is no text: bytecode is not run"}
    _begin()
    lua = lua51.LuaRuntime(
        register_eval=False, register_builtins=False, attribute_filter=denied, max_memory=LUA_MEMORY
    )
    try:
        lua.execute(_PRELUDE, open_libs)
        lua.globals()["obj"] = lua.table_from(_numbers(body), recursive=True)
        found = lua.execute(script)
        if isinstance(found, tuple):
            found = found[-1]
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


def _type(value: Any) -> str:
    names = {bool: "boolean", float: "number", int: "number", str: "string"}
    return names.get(type(value)) or "function or thread"


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

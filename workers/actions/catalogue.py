"""Which actions an object has, by the scripts of an installation and by what is built in, and what comes of
one. What scripts say is taken apart here, and believed no further than that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from mooring.errors import Refused, Retryable
from mooring.text import few
from workers.actions import built_in
from workers.actions.action import Action, Change, Created, Parameter, Patched, key_of
from workers.actions.definitions import Scripts, scripts
from workers.scripts.sandbox import Answer, Lost, Sandbox

_SHOWN: Final = 10


class Actions:
    """`config` gives the data of ConfigMap `argocd-cm`; whatever it raises is raised by all methods, Refused
    for what makes no sense there, and Retryable where a script could not be run."""

    def __init__(self, config: Callable[[], Mapping[str, str]], sandbox: Sandbox) -> None:
        self._config = config
        self._sandbox = sandbox

    def available(self, body: dict[str, Any]) -> tuple[Action, ...]:
        """The actions of the live object `body`, by name. A Secret has none: what a script says is shown to
        people."""
        return tuple(action for _, action in sorted(self._found(body)[1].items()))

    def run(
        self, name: str, body: dict[str, Any], given: Mapping[str, str], now: datetime
    ) -> tuple[Change, ...]:
        """What is to be changed by the action `name` on the live object `body`. Raises Refused where it has
        no such action, or not now, or the script has failed."""
        custom, found = self._found(body)
        if name not in found:
            has = f"it has {few(sorted(found), _SHOWN)}" if found else "it has none"
            raise Refused(f"has no action {name!r} as it is now: {has}")
        if found[name].disabled:
            raise Refused(f"action {name} is disabled as the object is now")
        key = key_of(body)
        if custom is None or name not in custom.actions:
            return built_in.run(key.group, key.kind, name, body, given, now)
        defaults = {one.name: one.default for one in found[name].parameters if one.default}
        where = f"{custom.where}: {name}"
        parameters = {**defaults, **given}
        answer = self._asked(custom.actions[name], where, body, asks="action", parameters=parameters)
        return tuple(_change(one, where) for one in answer["resources"])

    def _found(self, body: dict[str, Any]) -> tuple[Scripts | None, dict[str, Action]]:
        key = key_of(body)
        if (key.group, key.kind) == ("", "Secret"):
            return None, {}
        custom = scripts(self._config(), key.group, key.kind)
        found: dict[str, Action] = {}
        if custom is None or custom.merges:
            found = {one.name: one for one in built_in.available(key.group, key.kind, body)}
        if custom is not None and custom.discovery:
            answer = self._asked(custom.discovery, f"{custom.where}: discovery.lua", body, asks="actions")
            told = {action.name: action for action in map(_action, answer["actions"])}
            # Whatever has no definition is what is built in, or nothing.
            found |= {name: one for name, one in told.items() if name in custom.actions or name in found}
        return custom, found

    def _asked(self, script: str, where: str, body: dict[str, Any], **more: Any) -> Answer:
        question = {"lua": script, "open": True, "object": body, **more}
        try:
            try:
                answer = self._sandbox.ask(question)
            except Lost:  # mostly for once
                answer = self._sandbox.ask(question)
        except Lost as error:
            raise Retryable(f"{where} was not evaluated: {error}") from error
        if why := answer.get("ended"):
            raise Ended(f"ConfigMap argocd-cm, {where} {why}")
        if why := answer.get("error"):
            raise Refused(f"ConfigMap argocd-cm, {where} {why}")
        return answer


class Ended(Refused):
    """A script took more than it may. With the next object it would, too, and somebody would wait again."""


def _action(told: Mapping[str, Any]) -> Action:
    parameters = tuple(Parameter(one["name"], one["default"]) for one in told["parameters"])
    return Action(told["name"], told["disabled"], told["iconClass"], told["displayName"], parameters)


def _change(told: Mapping[str, Any], where: str) -> Change:
    match told["operation"]:
        case "patch":
            return Patched(told["resource"])
        case "create":
            return Created(told["resource"])
        case other:
            raise Refused(
                f"ConfigMap argocd-cm, {where} returns an operation {str(other)[:20]!r}: create or patch"
            )

"""Health as one installation has it: by its own checks (checks.py), and else as built-in kinds are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mooring.text import printable
from workers import health
from workers.health import BUILT_IN, Health, HealthStatus, Judge
from workers.health.checks import Cel, Check, Checks, Lua, read, written
from workers.health.fields import Malformed
from workers.health.status import progressing, unknown
from workers.scripts.sandbox import Answer, Lost, Sandbox


class Judges:
    """Where judges come from. `config` gives the data of ConfigMap `argocd-cm`; whatever it raises is
    raised."""

    def __init__(self, config: Callable[[], Mapping[str, str]], sandbox: Sandbox) -> None:
        self._config = config
        self._sandbox = sandbox

    def now(self) -> Judge:
        """Who judges by what is written now, for one look. Raises Refused where that makes no sense."""
        said = written(self._config())
        return CustomJudge(read(said), self._sandbox) if said else BUILT_IN

    def still(self, before: Judge) -> Judge:
        """`before`, as long as nothing else is written, for another look. Raises as `now` does."""
        judge = self.now()
        if isinstance(judge, CustomJudge) and isinstance(before, CustomJudge) and judge.same(before):
            before.look_again()
            return before
        return judge


class CustomJudge:
    """Asks the `checks` of an installation first. One that does not end is not asked again in the same look,
    of objects of the same `cluster`: the next one would take as long."""

    def __init__(self, checks: Checks, sandbox: Sandbox, cluster: str = "") -> None:
        self._checks = checks
        self._sandbox = sandbox
        self._cluster = cluster
        self._of: dict[str, CustomJudge] = {}
        self._ended: dict[str, str] = {}
        self._problems: dict[str, str] = {}

    def same(self, other: CustomJudge) -> bool:
        """Whether both go by the same checks."""
        return self._checks == other._checks

    def look_again(self) -> None:
        """Forget what did not end: the object of one app must not keep the check from those of all others."""
        for one in (self, *list(self._of.values())):
            one._ended.clear()
            one._problems.clear()

    def of(self, cluster: str) -> CustomJudge:
        return self._of.setdefault(cluster, CustomJudge(self._checks, self._sandbox, cluster))

    @property
    def problems(self) -> Mapping[str, str]:
        return self._problems

    def judges(self, group: str, kind: str) -> bool:
        return self._checks.of(group, kind) is not None or BUILT_IN.judges(group, kind)

    def assess(self, body: dict[str, Any]) -> Health | None:
        try:
            check = self._checks.of(*health.kind_of(body))
            going = health.leaving(body)
        except Malformed as error:
            return unknown(str(error))
        if check is None or going is not None:
            return going or health.assess(body)
        if why := self._ended.get(check.where):
            return unknown(f"{check.where} {why}")
        try:
            return self._told(check, self._asked(check, body))
        except Lost as error:  # no hook has failed by that, and no app is broken: it is asked again soon
            said = self._problems[check.where] = f"{check.where} was not evaluated: {error}"
            return progressing(said)

    def _asked(self, check: Check, body: dict[str, Any]) -> Answer:
        question = _question(check, body)
        try:
            return self._sandbox.ask(question, self._cluster)
        except Lost:  # mostly for once
            return self._sandbox.ask(question, self._cluster)

    def _told(self, check: Check, answer: Answer) -> Health | None:
        if "none" in answer:
            return None
        if why := answer.get("ended") or answer.get("error"):
            self._problems[check.where] = said = f"{check.where} {printable(why)}"
            if "ended" in answer:
                self._ended[check.where] = why
            return unknown(said)
        message = "\n".join(map(printable, answer["message"].splitlines()))
        return Health(HealthStatus(answer["status"]), message)


def _question(check: Check, body: dict[str, Any]) -> dict[str, Any]:
    """As evaluate.py understands it."""
    match check:
        case Lua():
            return {"lua": check.script, "open": check.open_libs, "object": body}
        case Cel():
            expressions = {"inProgress": check.in_progress, "failed": check.failed, "current": check.current}
            return {"cel": expressions, "object": body}

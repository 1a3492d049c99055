"""The actions that workloads have by themselves, under the names that Argo CD gives them. Pure.

https://argo-cd.readthedocs.io/en/stable/operator-manual/resource_actions_builtin/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mooring.errors import Refused
from workers.actions.action import Action, Change, Created, Parameter, Patched
from workers.health.fields import Body, flag, maybe_number, objects, text
from workers.mergepatch import merge

# kubectl's, so that all who restart are told by the same.
# https://kubernetes.io/docs/reference/labels-annotations-taints/
RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"
_MANUAL: Final = {"cronjob.kubernetes.io/instantiate": "manual"}
_MOST_REPLICAS: Final = 2**31 - 1
_ENDED: Final = ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet")

Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Verb:
    """`run` gets the object, parameters and the time. Of an object that is not `offered` it, nobody hears of
    it; where it is not `possible`, it is shown as disabled."""

    run: Callable[[Body, Parameters, datetime], Change]
    icon: str = ""
    offered: Callable[[Body], bool] = lambda _: True
    possible: Callable[[Body], bool] = lambda _: True
    asks: Callable[[Body], tuple[Parameter, ...]] = lambda _: ()


def available(group: str, kind: str, body: Body) -> tuple[Action, ...]:
    """The actions of the live object `body`; none for kinds that have none."""
    return tuple(
        Action(name, not verb.possible(body), verb.icon, parameters=verb.asks(body))
        for name, verb in _VERBS.get((group, kind), {}).items()
        if verb.offered(body)
    )


def run(group: str, kind: str, name: str, body: Body, given: Parameters, now: datetime) -> tuple[Change, ...]:
    """What comes of the action `name`, which is available. Raises Refused for senseless parameters."""
    verb = _VERBS[group, kind][name]
    asked = [parameter.name for parameter in verb.asks(body)]
    if unknown := sorted(given.keys() - set(asked)):
        takes = f"it takes {', '.join(asked)}" if asked else "it takes none"
        raise Refused(f"action {name} has no parameter {unknown[0]!r}: {takes}")
    return (verb.run(body, given, now),)


def _set(patch: Mapping[str, Any]) -> Callable[[Body, Parameters, datetime], Change]:
    return lambda body, given, now: Patched(merge(body, patch))


def _restart(body: Body, given: Parameters, now: datetime) -> Change:
    annotations = {RESTARTED_AT: _text(now)}
    return Patched(merge(body, {"spec": {"template": {"metadata": {"annotations": annotations}}}}))


def _replicas(body: Body) -> tuple[Parameter, ...]:
    return (Parameter("replicas", str(maybe_number(body, "spec", "replicas") or 0)),)


def _scale(body: Body, given: Parameters, now: datetime) -> Change:
    wanted = given.get("replicas", "")
    if not wanted:
        raise Refused("action scale needs to be told how many: --param replicas=N")
    if not (wanted.isascii() and wanted.isdecimal() and len(wanted) < 11 and int(wanted) <= _MOST_REPLICAS):
        raise Refused(f"action scale: replicas={wanted[:20]} is no number of replicas")
    return Patched(merge(body, {"spec": {"replicas": int(wanted)}}))


def _create_job(body: Body, given: Parameters, now: datetime) -> Change:
    metadata, template = body["metadata"], body["spec"]["jobTemplate"]
    of = template.get("metadata") or {}
    # Its controller counts it among its own, and it goes with the CronJob.
    owner = {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
    made = {
        # A CronJob's name has 52 characters at most, a Job's 63.
        "name": f"{metadata['name']}-{int(now.timestamp())}",
        "namespace": metadata["namespace"],
        "labels": of.get("labels") or {},
        "annotations": {**(of.get("annotations") or {}), **_MANUAL},
        "ownerReferences": [owner],
    }
    return Created({"apiVersion": "batch/v1", "kind": "Job", "metadata": made, "spec": template["spec"]})


def _terminate(body: Body, given: Parameters, now: datetime) -> Change:
    """As its own controller does it to a Job that has failed: it ends the pods, and then says Failed.

    https://kubernetes.io/docs/concepts/workloads/controllers/job/#terminal-job-conditions
    """
    ending = {
        "type": "FailureTarget",
        "status": "True",
        "reason": "ManuallyTerminated",
        "message": "somebody has ended it by the action terminate",
        "lastProbeTime": _text(now),
        "lastTransitionTime": _text(now),
    }
    conditions = [*objects(body, "status", "conditions"), ending]
    # One that is suspended is not looked at by its controller.
    return Patched(merge(body, {"spec": {"suspend": False}, "status": {"conditions": conditions}}))


def _is_paused(body: Body) -> bool:
    return flag(body, "spec", "paused")


def _is_suspended(body: Body) -> bool:
    return flag(body, "spec", "suspend")


def _is_awake(body: Body) -> bool:
    return not flag(body, "spec", "suspend")


def _goes_on(body: Body) -> bool:
    conditions = objects(body, "status", "conditions")
    return not any(text(one, "type") in _ENDED and text(one, "status") == "True" for one in conditions)


def _text(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


_RESTART: Final = _Verb(_restart, "fa fa-fw fa-redo")
_SCALE: Final = _Verb(_scale, "fa fa-fw fa-balance-scale", asks=_replicas)
_PAUSE, _PLAY, _PLUS, _STOP = (f"fa fa-fw fa-{icon}" for icon in ("pause", "play", "plus", "stop"))
_VERBS: Final[Mapping[tuple[str, str], Mapping[str, _Verb]]] = {
    ("apps", "Deployment"): {
        "pause": _Verb(_set({"spec": {"paused": True}}), _PAUSE, possible=lambda body: not _is_paused(body)),
        "restart": _RESTART,
        "resume": _Verb(_set({"spec": {"paused": False}}), _PLAY, possible=_is_paused),
        "scale": _SCALE,
    },
    ("apps", "StatefulSet"): {"restart": _RESTART, "scale": _SCALE},
    ("apps", "DaemonSet"): {"restart": _RESTART},
    ("batch", "CronJob"): {
        "create-job": _Verb(_create_job, _PLUS),
        "resume": _Verb(_set({"spec": {"suspend": False}}), _PLAY, possible=_is_suspended),
        "suspend": _Verb(_set({"spec": {"suspend": True}}), _PAUSE, possible=_is_awake),
    },
    ("batch", "Job"): {
        "resume": _Verb(
            _set({"spec": {"suspend": False}}),
            _PLAY,
            offered=lambda body: _goes_on(body) and _is_suspended(body),
        ),
        "suspend": _Verb(
            _set({"spec": {"suspend": True}}),
            _PAUSE,
            offered=lambda body: _goes_on(body) and _is_awake(body),
        ),
        "terminate": _Verb(_terminate, _STOP, offered=_goes_on),
    },
}

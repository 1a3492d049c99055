"""What happens in a soak, step by step: the same for the same seed, whatever becomes of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

FEWEST: Final = (
    4  # objects of an app: more than half of them never leave Git at once, which nobody would prune
)
_WEIGHTS: Final = {
    "push": 36,  # a change of one object, and its webhook
    "lost": 8,  # the same, of which nobody is told
    "add": 8,  # a new object
    "remove": 8,  # an object leaves Git
    "edit": 14,  # somebody edits an object in the cluster
    "delete": 9,  # somebody deletes one there
    "retire": 3,  # an Application is deleted, with all that it has
    "return": 4,  # one that was deleted is created again
    "kill": 8,  # -9 of one process
    "restart": 3,  # SIGTERM of one
    "down": 2,  # what all rests on dies, and comes back with what it had written down
    "forget": 0.3,  # Redis dies and comes back empty
}
# Each kind of process lives through one half of the time: nobody sees a process grow that dies every minute.
KILLED: Final = (("intake", "deploy", "slow", "reconcile", "nursery"), ("beat", "observer", "web"))
EVERYBODY: Final = "all"  # between the halves
ROLES: Final = tuple(role for half in KILLED for role in half)
# How long it may be away, in pauses.
OUTAGES: Final = {"redis": 8, "git": 20, "kube-apiserver": 15, "etcd": 30}


@dataclass(frozen=True, slots=True)
class Step:
    """`verb` is done to object `object` of app `app`, or to process `app` of `role`; `value` is what a push
    writes. What goes "down" comes "up" by a later step. `at` counts in pauses from the beginning."""

    at: float
    verb: str
    app: int = 0
    object: int = 0
    value: int = 0
    role: str = ""

    def __str__(self) -> str:
        about = (
            self.role
            if self.role in OUTAGES
            else f"{self.role} {self.app}"
            if self.role
            else f"app {self.app} object {self.object}"
        )
        return f"{self.at:8.1f}  {self.verb:8} {about}"


def steps(seed: int, apps: int, objects: int, count: int) -> Iterator[Step]:
    """`count` steps about `apps` apps, which have objects 0 up to `objects` - 1 at first. Pure."""
    drawn = random.Random(seed)
    has = {app: set(range(objects)) for app in range(apps)}
    away = set[int]()
    up: Step | None = None
    outages = _rounds(drawn, tuple(OUTAGES))
    victims = [_rounds(drawn, half) for half in KILLED]
    at = 0.0
    for number in range(count):
        at += drawn.uniform(0.2, 1.8)
        if number == count // 2:
            yield Step(at, "kill", role=EVERYBODY)
        if up and up.at <= at:
            yield up
            up = None
        (verb,) = drawn.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        app = drawn.randrange(apps)
        one = drawn.choice(sorted(has[app]))
        if verb in ("kill", "restart"):
            yield Step(at, verb, drawn.randrange(100), role=next(victims[2 * number // count]))
            continue
        if verb in ("down", "forget"):
            if up is None:  # one at a time
                role = next(outages) if verb == "down" else "redis"
                lasts = drawn.uniform(1, OUTAGES[role])
                yield Step(at, verb, role=role)
                up = Step(at + lasts, "up", role=role) if verb == "down" else None
            continue
        if verb == "return":
            if not away:
                continue
            app = drawn.choice(sorted(away))
            away.discard(app)
        elif app in away or (verb == "retire" and 3 * len(away) >= apps):
            verb = "push"
        if verb == "retire":
            away.add(app)
        elif verb == "add":
            one = max(has[app]) + 1
            has[app].add(one)
        elif verb == "remove":
            one = max(has[app])
            if len(has[app]) <= FEWEST or one < 2:
                continue
            has[app].discard(one)
        yield Step(at, verb, app, one, number + 1)
    if up:
        yield up


def _rounds(drawn: random.Random, names: Sequence[str]) -> Iterator[str]:
    """Each of them once, in any order, and then again."""
    while True:
        yield from drawn.sample(names, len(names))

"""What a task is about, as people who watch the queue read it: application, repository, commit, delivery.

`mooring.turn` takes the name of a turn and nothing else, and that of a repository is a digest. So it is
shown as `mooring.sync` or `mooring.push` would be called for the same, with more beside; nobody acts on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mooring.errors import MooringError
from mooring.keys import AppKey
from mooring.names import TASK_MOVED, TASK_TURN
from mooring.repourl import masked
from mooring.store.due import Step
from mooring.store.turns import Turns
from workers.elsewhere import ELSEWHERE
from workers.push import PUSH

_MOST = 3
_LONGEST = 200  # most of it is what strangers wrote
_UNKNOWN = ("", "")


def about(
    turn: str, wishes: Mapping[str, str], deliveries: Sequence[str] = (), apps: Sequence[AppKey] = ()
) -> tuple[str, str]:
    """What the turn of this name with these wishes is about, written as arguments and keyword arguments are.

    `apps` are the applications that a turn on a repository may touch, where that is known. Credentials of
    URLs are masked, and whatever is not printable is spelt out.
    """
    subject: tuple[str, ...]
    told = {"delivery": _few(deliveries)}
    if turn.startswith(PUSH):
        subject = masked(wishes.get("repo", "")), wishes.get("revision", "")
        told["chart"] = wishes.get("chart", "")
        told["commit"] = wishes.get("hint", "")
        told["apps"] = _few([f"{app.namespace}/{app.name}" for app in apps])
        if not all(subject):  # done by now, or lost
            return _UNKNOWN
    elif turn.startswith(ELSEWHERE):
        subject = (wishes.get("address", ""),)
        told["project"] = wishes.get("project", "")
        told["apps"] = _few([f"{app.namespace}/{app.name}" for app in apps])
        if not all(subject):
            return _UNKNOWN
    else:
        subject = (turn.partition(":")[2].replace("_", "/", 1),)
        told["commit"] = wishes.get("commit", "")
        # What was pushed says what, not why.
        told["why"] = ", ".join(sorted(w for w in wishes if w != "commit" and not w.startswith(PUSH)))
    return (
        repr(tuple(text[:_LONGEST] for text in subject)),
        repr({name: text[:_LONGEST] for name, text in told.items() if text}),
    )


def completed(step: Step, turns: Turns, moving: Callable[[str], Mapping[str, str]]) -> Step:
    """`step` with what it is about, if it is a turn's and does not say so itself: the sender knew only its
    name. It costs a look into Redis, which the way of a push does without.

    `moving(turn)` gives the commit by application (`str(AppKey)`) that `mooring.moved` is to tell.
    """
    if step.shown != _UNKNOWN or step.task not in (TASK_TURN, TASK_MOVED):
        return step
    try:
        if step.task == TASK_MOVED:
            return replace(step, shown=_moves(moving(step.args[0])))
        wishes, deliveries = turns.wanted(step.args[0])
    except MooringError:  # to be sent matters more than to be explained
        return step
    return replace(step, shown=about(step.args[0], wishes, deliveries))


def _moves(commits: Mapping[str, str]) -> tuple[str, str]:
    if not commits:
        return _UNKNOWN
    apps = _few([app.replace("_", "/", 1) for app in sorted(commits)])
    told = {"apps": apps[:_LONGEST], "commit": _few(sorted(set(commits.values())))[:_LONGEST]}
    return "()", repr(told)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more

"""Waiting for an Application while saying how it goes: a live line on a terminal, else a line a change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click
from rich.console import Console
from rich.status import Status

from cli.app.words import health_word, revision, sync_word
from cli.exits import Missing, TimedOut
from cli.home import Home
from cli.show import one_line
from mooring.errors import Retryable
from mooring.keys import AppKey
from mooring.model.application import Application

_EVERY_S = 0.25
_REMIND_EVERY_S = 30


def until(
    home: Home,
    key: AppKey,
    done: Callable[[Application], bool],
    what: str,
    timeout_s: float,
    hint: str,
    since: float | None = None,
) -> Application:
    """The Application `key` as soon as `done` says so of it; `timeout_s` 0 waits for ever.

    The time counts from `since` (of time.monotonic), where several are waited for, else from now.

    Progress goes to stderr; the end is the caller's to say. Raises TimedOut with `hint`, the next step;
    Missing when the Application is deleted meanwhile. An API server that does not answer for a moment is
    waited for.
    """
    begun = time.monotonic()
    started = begun if since is None else since
    with Progress(what) as progress:
        while True:
            try:
                app = home.applications.get(key)
            except Retryable as error:
                progress.say(str(error))
                app = None
            else:
                if app is None:
                    raise Missing(f"the Application {key.namespace}/{key.name} was deleted meanwhile")
                if done(app):
                    return app
                progress.say(words(app))
            if timeout_s and time.monotonic() - started > timeout_s:
                now = f"it is {words(app)}" if app else "the cluster does not answer"
                raise TimedOut(f"{what}: not done after {timeout_s:g} s, {now}; {hint}")
            progress.waited(time.monotonic() - begun)
            time.sleep(_EVERY_S)


def words(app: Application) -> str:
    """`sync Synced at 1234567, health Healthy, operation Running`; each message once."""
    commit = revision(app.status.sync)
    at = f" at {commit}" if commit else ""
    parts = [f"sync {sync_word(app)}{at}", f"health {health_word(app)}"]
    if app.status.sync is None:
        parts = ["not compared yet"]
    state = app.status.operation_state
    if app.operation is not None:
        parts.append("operation waiting to be taken up")
    elif state is not None:
        parts.append(f"operation {state.phase}" + (f": {state.message}" if state.message else ""))
    errors = [c.message for c in app.status.conditions if c.type.endswith("Error")][:1]
    parts += [message for message in errors if not any(message in part for part in parts)]
    return one_line(", ".join(parts))


class Progress:
    """What is said of the wait for `what`, on stderr."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = ""
        self._remind_at_s = _REMIND_EVERY_S
        terminal = sys.stderr.isatty()
        self._status = Status(what, console=Console(stderr=True, highlight=False)) if terminal else None

    def __enter__(self) -> Progress:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def waited(self, seconds: float) -> None:
        """Say now and then that the wait goes on and how to end it: nothing may change for long."""
        if seconds < self._remind_at_s:
            return
        self._remind_at_s = (int(seconds) // _REMIND_EVERY_S + 1) * _REMIND_EVERY_S
        text = f"{self._what}: still waiting after {seconds:.0f} s; Ctrl-C ends the wait, --timeout limits it"
        if self._status is not None:
            self._status.console.print(text, markup=False)
        else:
            click.echo(text, err=True)

    def say(self, text: str) -> None:
        """Say how it is, when that is news."""
        if text == self._last:
            return
        self._last = text
        if self._status is not None:
            self._status.update(f"{self._what}: {text}".replace("[", r"\["))
        else:
            click.echo(f"{self._what}: {text}", err=True)

"""Threads that know what their work is about, so that their log lines say it; some are left to themselves."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Thread
from typing import ParamSpec, TypeVar

from mooring.errors import MooringError

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Threads(ThreadPoolExecutor):
    """An executor whose work has the context of whoever submitted it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return super().submit(contextvars.copy_context().run, partial(fn, *args, **kwargs))


def together(executor: Executor, do: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """What `do` makes of each of `items`, side by side: as `Executor.map`, but the first is done by whoever
    calls, who would only wait. To hand one over takes a fifth of what it takes to ask the API server for it.
    """
    handed = [executor.submit(do, item) for item in items[1:]]
    try:
        return [*map(do, items[:1]), *(one.result() for one in handed)]
    finally:
        for one in handed:
            one.cancel()


def apart(work: Callable[[], None]) -> Future[None]:
    """Begin `work` in a thread of its own, with the context of whoever calls. Raises RuntimeError where no
    thread can be begun."""
    future = Future[None]()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    Thread(target=contextvars.copy_context().run, args=(run,), daemon=True, name="apart").start()
    return future


def leave(begun: Collection[Future[None]], after_s: float) -> None:
    """Wait for what was begun apart, but no longer than this: then each goes on by itself, and the log alone
    tells what becomes of it. Raises what one of them has raised by then."""
    ended, others = wait(begun, after_s)
    for one in others:
        one.add_done_callback(_told)
    for one in ended:
        one.result()


def _told(one: Future[None]) -> None:
    if (error := one.exception()) is not None:
        foreseen = isinstance(error, MooringError)
        _log.warning("what was left to itself has failed: %s", error, exc_info=None if foreseen else error)

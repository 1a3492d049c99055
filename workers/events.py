"""Celery's events, for which nobody may listen: without Flower each would be a part of what a task costs.

Redis says with each how many have heard it. Where that is nobody, no task is told of for a while; what
workers say of themselves goes on, and Flower asks them for that as it begins.
"""

from __future__ import annotations

import time
from typing import Any, Final

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher

EXCHANGE: Final = "celeryev"  # as Celery names it
_UNHEARD_S: Final = 5.0
_until = 0.0  # when a task is told of again, on the clock that is monotonic


def heard(by: int) -> None:
    """So many have heard the last event of this process."""
    global _until
    _until = 0.0 if by else time.monotonic() + _UNHEARD_S


def _unheard(kind: str) -> bool:
    return kind.startswith("task-") and time.monotonic() < _until


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """Tells of tasks while somebody listens."""

    def publish(self, type: str, *args: Any, **options: Any) -> Any:
        return None if _unheard(type) else super().publish(type, *args, **options)

    def send(self, type: str, *args: Any, **options: Any) -> Any:
        return None if _unheard(type) else super().send(type, *args, **options)


class Told(Events):  # type: ignore[misc]
    """For `Celery.events_cls`."""

    dispatcher_cls = f"{__name__}:{Dispatcher.__name__}"

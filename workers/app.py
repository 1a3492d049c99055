"""The Celery application for people's tools: `celery -A workers.app call|inspect|status`, Flower.

It knows the broker and the tasks' names, as `MOORING_REDIS_URL` and mooring/names.py give them, and none of
the code behind them: it asks, the workers answer. docs/tasks.md shows how.
"""

from __future__ import annotations

import os
from typing import Any

from mooring.settings import Settings
from workers.celery_app import QUEUE_OF, make

app = make("mooring", Settings.from_env(os.environ).redis_url)


def _elsewhere(*_: Any, **__: Any) -> None:
    raise NotImplementedError("the code is the workers'")


for _name in QUEUE_OF:
    app.task(name=_name, typing=False)(_elsewhere)

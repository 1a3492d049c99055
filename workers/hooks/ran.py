"""How the run of a hook stands after a step. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from workers.hooks.results import FAILED, RUNNING
from workers.hooks.wanted import HookRun


@dataclass(frozen=True, slots=True)
class Ran:
    """How one run stands. `phase` is results.RUNNING, SUCCEEDED or FAILED; `clearing`: its object is not
    written yet, since an earlier one is still being deleted."""

    run: HookRun
    phase: str
    message: str = ""
    clearing: bool = False

    @property
    def running(self) -> bool:
        return self.phase == RUNNING

    @property
    def failed(self) -> bool:
        return self.phase == FAILED

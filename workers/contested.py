"""Foreign fields that come back: somebody sets them again whenever a sync has taken them off.

Self-heal does not fight with anybody. What the last sync has taken off an object, and what is there again, it
leaves until the next sync that is asked for or has something new to deploy; a condition says who it is.
"""

from __future__ import annotations

from dataclasses import replace

from mooring.keys import ObjectKey
from mooring.model.status import OperationState, ResourceResult
from workers.apps.conditions import FOREIGN_FIELDS
from workers.cluster.api import Api
from workers.cluster.live import comparable
from workers.compare import Compared
from workers.desired import Desired
from workers.foreign import FREED
from workers.plan import Notice, Plan
from workers.write import tried


def contested(found: Compared, plan: Plan, state: OperationState | None, api: Api) -> frozenset[ObjectKey]:
    """The objects that differ in nothing but foreign fields all of which the operation `state` has taken off.

    Raises as `compare` does."""
    said = {one.key: one.message for one in _told(state) if FREED in one.message}
    again = {
        key for key, fields in found.foreign.items() if all(str(one) in said.get(key, "") for one in fields)
    }
    items = (step.desired for group in plan.writes for step in group if step.key in again)
    return frozenset(item.key for item in items if item is not None and _else_equal(item, api))


def notices(found: Compared, keys: frozenset[ObjectKey]) -> tuple[Notice, ...]:
    """What to say of those that are contested."""
    return tuple(
        Notice(
            FOREIGN_FIELDS,
            f"{key.title}: {'; '.join(map(str, found.foreign[key]))}, again after a sync had taken it off: "
            "self-heal leaves it until the next sync; have it set by one of the two alone",
        )
        for key in sorted(keys)
    )


def _told(state: OperationState | None) -> tuple[ResourceResult, ...]:
    return state.sync_result.resources if state is not None and state.sync_result is not None else ()


def _else_equal(item: Desired, api: Api) -> bool:
    live = api.get(item.kind, item.key.namespace, item.key.name)
    if live is None or live.body is None:
        return False
    after = tried(replace(item.leaving, foreign_is_drift=False), live, api)
    return after is not None and after.body is not None and comparable(after.body) == comparable(live.body)

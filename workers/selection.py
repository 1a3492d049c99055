"""A sync of some objects only, as `operation.sync.resources` selects them. Pure.

https://argo-cd.readthedocs.io/en/stable/user-guide/selective_sync/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mooring.errors import Refused
from mooring.keys import ObjectKey
from mooring.model.spec import Operation, OperationResource
from workers.plan import Plan, Step


def selection(operation: Operation | None) -> tuple[OperationResource, ...]:
    """What an operation selects; () is everything."""
    return operation.sync.resources if operation is not None and operation.sync is not None else ()


def split(found: Plan, resources: Sequence[OperationResource]) -> tuple[Plan, Plan]:
    """What is to be done to the objects that `resources` select, and what would be to the others.

    Raises Refused when they select none that the app has.
    """

    def chosen(key: ObjectKey) -> bool:
        return any(selects(one, key) for one in resources)

    keys = [*(step.key for step in found.steps), *(step.key for group in found.prunes for step in group)]
    if not any(map(chosen, (*keys, *(extra.key for extra in found.extras)))):
        raise Refused(
            f"operation.sync.resources: selects {_title(resources[0])}"
            + (f" and {len(resources) - 1} more" if len(resources) > 1 else "")
            + ", and the app has no such object: `mooring app resources` lists those that it has",
            condition="SyncError",
        )
    # What was seen gone is no matter of choice.
    rest = replace(part(found, lambda key: not chosen(key)), gone=frozenset())
    return part(found, chosen), rest


def selects(one: OperationResource, key: ObjectKey) -> bool:
    """Whether it names this object; without a namespace, the one of any."""
    named = (one.group, one.kind, one.name) == (key.group, key.kind, key.name)
    return named and one.namespace in ("", key.namespace)


def part(found: Plan, chosen: Callable[[ObjectKey], bool]) -> Plan:
    """What `found` has of the objects that are `chosen`."""

    def groups(of: Sequence[Sequence[Step]]) -> tuple[tuple[Step, ...], ...]:
        left = (tuple(step for step in group if chosen(step.key)) for group in of)
        return tuple(group for group in left if group)

    return replace(
        found,
        writes=groups(found.writes),
        prunes=groups(found.prunes),
        kept=tuple(step for step in found.kept if chosen(step.key)),
        refused=tuple(step for step in found.refused if chosen(step.key)),
        extras=tuple(extra for extra in found.extras if chosen(extra.key)),
        grow={key: entry for key, entry in found.grow.items() if chosen(key)},
    )


def _title(one: OperationResource) -> str:
    place = f"{one.namespace}/" if one.namespace else ""
    return f"{one.kind} {place}{one.name}"

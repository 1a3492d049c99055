"""`--resource`: which objects of an Application a sync is for, as argocd has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import click

from mooring.errors import Refused
from mooring.model.application import Application
from mooring.model.spec import OperationResource
from mooring.model.status import ResourceStatus


@dataclass(frozen=True, slots=True)
class Pattern:
    """`*` stands for anything; an empty group is that of Service and ConfigMap. `without`: all but these."""

    text: str
    group: str
    kind: str
    namespace: str
    name: str
    without: bool

    def matches(self, one: ResourceStatus) -> bool:
        parts = ((one.group, self.group), (one.kind, self.kind), (one.name, self.name))
        there = all(fnmatchcase(value, pattern) for value, pattern in parts)
        return there and (not self.namespace or fnmatchcase(one.namespace, self.namespace))


def pattern(text: str) -> Pattern:
    """Raises BadParameter for what is none."""
    parts = text.removeprefix("!").split(":")
    namespace, _, name = parts[-1].rpartition("/")
    if len(parts) != 3 or not parts[1] or not name:
        raise click.BadParameter(
            f"{text!r} is not GROUP:KIND:NAME or GROUP:KIND:NAMESPACE/NAME", param_hint="--resource"
        )
    return Pattern(text, parts[0], parts[1], namespace, name, text.startswith("!"))


def selected(app: Application, patterns: Sequence[Pattern]) -> tuple[OperationResource, ...]:
    """The objects of the app, as it was last compared, that the patterns select; () where none is given.

    Raises Refused for a pattern that matches nothing, and where none is left. Pure.
    """
    if not patterns:
        return ()
    title, objects = app.key.name, [one for one in app.status.resources if not one.hook]
    for each in patterns:
        if not any(each.matches(one) for one in objects):
            raise Refused(f"{title} has no object {each.text}: `mooring app resources {title}` lists them")
    wanted = [each for each in patterns if not each.without]
    found = tuple(
        OperationResource(group=one.group, kind=one.kind, namespace=one.namespace, name=one.name)
        for one in objects
        if (not wanted or any(each.matches(one) for each in wanted))
        and not any(each.without and each.matches(one) for each in patterns)
    )
    if not found:
        raise Refused(f"{title}: --resource leaves no object: `mooring app resources {title}` lists them")
    return found

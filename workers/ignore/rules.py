"""Rules that leave fields to others, read once and judged before anything is compared. Pure.

Those of one application are its `spec.ignoreDifferences`; those of all are read by customized.py.

https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/#application-level-configuration
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mooring.errors import Refused
from mooring.keys import ObjectKey
from mooring.model.spec import IgnoreDifference
from workers.render.globs import matches

_ESCAPE: Final = re.compile(r"~([01])")


class Expression(NamedTuple):
    """A path expression of jq; `where` it was written: `spec.ignoreDifferences[1].jqPathExpressions[0]`, or
    at a key of ConfigMap argocd-cm."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Which objects it speaks of, as globs, and what of them is ignored. Pointers are taken apart already."""

    group: str
    kind: str
    name: str
    namespace: str
    pointers: tuple[tuple[str, ...], ...]
    expressions: tuple[Expression, ...]
    managers: tuple[str, ...]

    def concerns(self, key: ObjectKey) -> bool:
        """Whether it speaks of the object; without a name, or a namespace, of those of any."""
        return (
            matches(self.group, key.group)
            and matches(self.kind, key.kind)
            and (not self.name or matches(self.name, key.name))
            and (not self.namespace or matches(self.namespace, key.namespace))
        )


def rules_of(written: Sequence[IgnoreDifference]) -> tuple[Rule, ...]:
    """The rules as an Application has them. Raises Refused for a glob or a pointer that is none."""
    return tuple(rule_of(one, f"spec.ignoreDifferences[{number}].") for number, one in enumerate(written))


def rule_of(one: IgnoreDifference, where: str) -> Rule:
    """One of them; `where` it is written goes before the names of its fields. Raises Refused."""
    for field in ("group", "kind", "name", "namespace"):
        try:
            matches(getattr(one, field), "")
        except ValueError as error:
            raise wrong(f"{where}{field}", f"{getattr(one, field)!r} {error}") from error
    return Rule(
        group=one.group,
        kind=one.kind,
        name=one.name,
        namespace=one.namespace,
        pointers=tuple(
            _pointer(text, f"{where}jsonPointers[{number}]") for number, text in enumerate(one.json_pointers)
        ),
        expressions=tuple(
            Expression(f"{where}jqPathExpressions[{number}]", text)
            for number, text in enumerate(one.jq_path_expressions)
        ),
        managers=one.managed_fields_managers,
    )


def _pointer(text: str, where: str) -> tuple[str, ...]:
    """https://www.rfc-editor.org/rfc/rfc6901"""
    if not text.startswith("/"):
        raise wrong(where, f"{text!r} is no JSON pointer: it must begin with '/', as /spec/replicas")
    if "~" in _ESCAPE.sub("", text):
        raise wrong(where, f"{text!r} is no JSON pointer: write ~0 for '~', and ~1 for '/' in a name")
    return tuple(_ESCAPE.sub(lambda found: "~/"[int(found[1])], token) for token in text[1:].split("/"))


def wrong(where: str, why: str) -> Refused:
    """The error that says what is wrong with a rule, `where` it is written."""
    own = where.startswith("spec.")  # else it is no app's fault
    return Refused(f"{where}: {why}", condition="InvalidSpecError" if own else "ComparisonError")

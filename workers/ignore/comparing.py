"""What ConfigMap `argocd-cm` says of comparing the objects of all applications. Pure.

`resource.compareoptions` is not read: the rules of aggregated roles are left to the control plane in any
case, a status is never compared, and no app is looked at just since an object of it has changed.

https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/#system-level-configuration
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mooring.model.spec import IgnoreDifference
from workers.argocd_cm import CUSTOMIZATIONS, Said, customizations, kind_of, mapping, parsed, said, wrong
from workers.ignore.rules import Rule, rule_of

_IGNORE: Final = f"{CUSTOMIZATIONS}.ignoreDifferences."
_TYPES: Final = f"{CUSTOMIZATIONS}.knownTypeFields."
_LISTS: Final = ("jsonPointers", "jqPathExpressions", "managedFieldsManagers")
_TYPE: Final = re.compile(r"core/Quantity|meta/v1/Duration|core/v1/[A-Z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class KnownField:
    """Where objects of a kind have one of Kubernetes' own types: `core/v1/PodSpec`."""

    path: tuple[str, ...]
    type: str


# As Argo CD has it, where argocd-cm says nothing else of the kind.
_KNOWN: Final = {("argoproj.io", "Rollout"): (KnownField(("spec", "template", "spec"), "core/v1/PodSpec"),)}


@dataclass(frozen=True, slots=True)
class Comparing:
    """Rules for objects of all applications, and fields of known types by group and kind."""

    rules: tuple[Rule, ...]
    known: Mapping[tuple[str, str], tuple[KnownField, ...]]


def written(config: Mapping[str, str]) -> Said:
    """What `argocd-cm` says of comparing; empty where it says nothing."""
    return said(config, (CUSTOMIZATIONS,), (_IGNORE, _TYPES))


@functools.lru_cache(maxsize=4)
def read(what: Said) -> Comparing:
    """What is `written`. Raises Refused, naming the key, for what makes no sense: without it, what is to be
    left to others would be taken from them."""
    config = dict(what)
    rules: dict[str, Rule | None] = {}
    known: dict[str, tuple[KnownField, ...]] = {}
    for name, fields in customizations(config).items():
        where = f"{CUSTOMIZATIONS}: {name}"
        text = fields.get("ignoreDifferences") or ""
        if not isinstance(text, str):
            raise wrong(where, "ignoreDifferences is no text: write a block behind `|`")
        rules[name] = _rule(text, name, f"{where}: ignoreDifferences")
        known[name] = tuple(_known(fields.get("knownTypeFields"), f"{where}: knownTypeFields"))
    for key, text in config.items():
        if key.startswith(_IGNORE):
            name = kind_of(key, _IGNORE)
            rules[name] = _rule(text, name, key)
        elif key.startswith(_TYPES):
            known[kind_of(key, _TYPES)] = tuple(_known(parsed(text, key), key))
    return Comparing(
        tuple(rule for rule in rules.values() if rule is not None),
        {**_KNOWN, **{_parts(name): fields for name, fields in known.items() if fields}},
    )


def _rule(text: str, name: str, where: str) -> Rule | None:
    """The rule of a kind; None of nothing."""
    fields = dict(mapping(parsed(text, where), where))
    pointers, expressions, managers = (_texts(fields.pop(one, None), f"{where}: {one}") for one in _LISTS)
    if fields:
        raise wrong(where, f"{next(iter(fields))!r} is no field of it: write {', '.join(_LISTS)}")
    if not (pointers or expressions or managers):
        return None
    group, kind = _parts(name)
    one = IgnoreDifference(
        group=group,
        kind=kind,
        json_pointers=pointers,
        jq_path_expressions=expressions,
        managed_fields_managers=managers,
    )
    return rule_of(one, f"ConfigMap argocd-cm, {where}: ")


def _known(found: Any, where: str) -> Iterator[KnownField]:
    if found is not None and not isinstance(found, list):
        raise wrong(
            where, "is no list: write - field: spec.template.spec, and below it type: core/v1/PodSpec"
        )
    for number, value in enumerate(found or ()):
        fields = mapping(value, f"{where}[{number}]")
        path, type_ = fields.get("field"), fields.get("type")
        if not (isinstance(path, str) and path and isinstance(type_, str)) or len(fields) > 2:
            raise wrong(f"{where}[{number}]", "needs field and type, and has nothing else")
        if not _TYPE.fullmatch(type_):
            what = "core/v1/PodSpec and the like, core/Quantity and meta/v1/Duration are"
            raise wrong(f"{where}[{number}]", f"{type_[:60]!r} is no type that is known: {what}")
        yield KnownField(tuple(path.split(".")), type_)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        raise wrong(where, "is no list of texts")
    return tuple(value or ())


def _parts(name: str) -> tuple[str, str]:
    """Group and kind of `example.com/Door`, or of `Service`."""
    group, _, kind = name.rpartition("/")
    return group, kind

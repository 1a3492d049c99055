"""The actions that an installation brings along, read from ConfigMap `argocd-cm`. Pure.

https://argo-cd.readthedocs.io/en/stable/operator-manual/resource_actions/#custom-resource-actions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from workers.argocd_cm import CUSTOMIZATIONS, mapping, parsed, wrong

_ACTIONS: Final = f"{CUSTOMIZATIONS}.actions."


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts for one kind, and `where` they are written: `discovery` tells which actions an object has,
    `actions` are by name. `merges`: what is built in is there beside them."""

    where: str
    discovery: str
    actions: Mapping[str, str]
    merges: bool


def scripts(config: Mapping[str, str], group: str, kind: str) -> Scripts | None:
    """What the ConfigMap's data says of a kind, None where that is nothing. Raises Refused, naming the key,
    for what makes no sense; what is wrong with another kind's stops nobody."""
    key = f"{_ACTIONS}{group}_{kind}" if group else f"{_ACTIONS}{kind}"
    if config.get(key, "").strip():
        return _read(config[key], key)
    name = f"{group}/{kind}" if group else kind
    where = f"{CUSTOMIZATIONS}: {name}"
    old = mapping(parsed(config.get(CUSTOMIZATIONS, ""), CUSTOMIZATIONS), CUSTOMIZATIONS)
    said = mapping(old.get(name), where).get("actions") or ""
    return _read(_script(said, f"{where}: actions"), f"{where}: actions") if said else None


def _read(text: str, where: str) -> Scripts:
    fields = mapping(parsed(text, where), where)
    defined = fields.get("definitions") or []
    if not isinstance(defined, list):
        raise wrong(where, "definitions is no list: write `- name: …` with `action.lua: |`")
    actions: dict[str, str] = {}
    for number, one in enumerate(defined):
        place = f"{where}: definitions[{number}]"
        name = mapping(one, place).get("name")
        if not isinstance(name, str) or not name:
            raise wrong(place, "has no name")
        actions[name] = _script(mapping(one, place).get("action.lua"), f"{place}: action.lua")
    merges = fields.get("mergeBuiltinActions") or False
    if not isinstance(merges, bool):
        raise wrong(where, "mergeBuiltinActions is neither true nor false")
    return Scripts(where, _script(fields.get("discovery.lua"), f"{where}: discovery.lua"), actions, merges)


def _script(value: Any, where: str) -> str:
    if value is not None and not isinstance(value, str):
        raise wrong(where, "is no text: write it as a block behind `|`")
    return value or ""

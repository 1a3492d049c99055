"""What an action is, and what comes of one: values for people, and changes to be carried out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mooring.keys import ObjectKey


@dataclass(frozen=True, slots=True)
class Parameter:
    """What an action asks for; `default` is "" where it has none."""

    name: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """What may be done to an object as it is now; `disabled`: not now.

    https://argo-cd.readthedocs.io/en/stable/operator-manual/resource_actions/
    """

    name: str
    disabled: bool = False
    icon_class: str = ""
    display_name: str = ""
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Patched:
    """The object itself becomes `body`."""

    body: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Created:
    """Another object is made."""

    body: Mapping[str, Any] = field(repr=False)


Change = Patched | Created


def key_of(body: Mapping[str, Any]) -> ObjectKey:
    """Which object it is, as far as it says so."""
    group, slash, _ = str(body.get("apiVersion") or "").partition("/")
    names = (str(metadata_of(body).get(name) or "") for name in ("namespace", "name"))
    return ObjectKey(group if slash else "", str(body.get("kind") or ""), *names)


def metadata_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its metadata; empty where a script has put something else there."""
    metadata = body.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}

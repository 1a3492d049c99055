"""What somebody asks for: an action, and on which objects of an app. What a task says is untrusted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mooring.errors import Refused
from mooring.keys import ObjectKey

_LONGEST: Final = 253  # characters, of names and of values
_MOST: Final = 50  # parameters
_ARGUMENTS: Final = ("kind", "group", "namespace", "resource_name", "all", "parameters", "by")


@dataclass(frozen=True, slots=True)
class Asked:
    """`group`, `namespace` and `name` are None or "" where any will do. `all`: on each object that fits,
    where there are several. `by` is who asks, as they say themselves."""

    action: str
    kind: str
    group: str | None = None
    namespace: str = ""
    name: str = ""
    all: bool = False
    parameters: Mapping[str, str] | None = None
    by: str = ""

    @classmethod
    def read(cls, action: Any, arguments: Mapping[str, Any]) -> Asked:
        """Raises Refused for what nobody can have meant."""
        if unknown := sorted(set(arguments) - set(_ARGUMENTS)):
            raise Refused(f"{unknown[0][:_LONGEST]!r} is no argument: there are {', '.join(_ARGUMENTS)}")
        group = arguments.get("group")
        given = arguments.get("parameters") or {}
        if not isinstance(given, dict) or len(given) > _MOST:
            raise Refused("parameters of an action are a mapping of names to texts")
        everything = arguments.get("all") or False
        if not isinstance(everything, bool):
            raise Refused("all is neither true nor false")
        return cls(
            _text(action, "the action") or _missing("the action"),
            _text(arguments.get("kind"), "kind") or _missing("kind"),
            None if group is None else _text(group, "group"),
            _text(arguments.get("namespace"), "namespace"),
            _text(arguments.get("resource_name"), "resource_name"),
            everything,
            {_text(name, "a parameter"): _text(value, "a parameter") for name, value in given.items()},
            _text(arguments.get("by"), "by"),
        )

    def fits(self, key: ObjectKey) -> bool:
        """Whether the object may be meant."""
        return (
            self.kind in ("", key.kind)
            and self.group in (None, key.group)
            and self.namespace in ("", key.namespace)
            and self.name in ("", key.name)
        )

    def of(self, keys: Iterable[ObjectKey]) -> list[ObjectKey]:
        """Those of `keys` that are meant, in their order. Raises Refused where it is not clear which."""
        found = sorted(key for key in keys if self.fits(key))
        if len(found) > 1 and not self.all:
            more = f" and {len(found) - 2} more" if len(found) > 2 else ""
            raise Refused(
                f"{found[0].title}, {found[1].title}{more} fit: "
                "choose one by --resource-name and --namespace, or say --all"
            )
        return found


def _text(value: Any, what: str) -> str:
    if value is not None and not isinstance(value, str | int):
        raise Refused(f"{what} is no text")
    text = "" if value is None else str(value)
    if len(text) > _LONGEST or not text.isprintable():
        raise Refused(f"{what} is longer than {_LONGEST} characters, or no text that can be read")
    return text


def _missing(what: str) -> str:
    raise Refused(f"{what} is missing: an action needs its name and the kind of the objects")

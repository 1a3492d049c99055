"""The health checks that an installation brings along, read from ConfigMap `argocd-cm`. Pure.

https://argo-cd.readthedocs.io/en/stable/operator-manual/health/#custom-health-checks
https://fluxcd.io/flux/components/kustomize/kustomizations/#health-check-expressions
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from workers.argocd_cm import CUSTOMIZATIONS, Said, customizations, kind_of, mapping, parsed, said, wrong
from workers.render.globs import matches

EXPRESSIONS: Final = "resource.healthCheckExprs"
_HEALTH: Final = f"{CUSTOMIZATIONS}.health."
_OPEN_LIBS: Final = f"{CUSTOMIZATIONS}.useOpenLibs."

# https://pkg.go.dev/strconv#ParseBool
_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")


@dataclass(frozen=True, slots=True)
class Lua:
    """A script. `where` it is written; `open_libs`: it has Lua's libraries for strings and numbers, too."""

    where: str
    script: str
    open_libs: bool = False


@dataclass(frozen=True, slots=True)
class Cel:
    """Expressions that are true of an object in progress, failed, or current; "" for none."""

    where: str
    in_progress: str
    failed: str
    current: str


Check = Lua | Cel


@dataclass(frozen=True, slots=True)
class Checks:
    """By kind: `named` as `group/Kind` or `Kind`, and those whose `patterns` fit `group/Kind`, in their
    order."""

    named: Mapping[str, Check]
    patterns: tuple[tuple[str, Lua], ...] = ()

    def of(self, group: str, kind: str) -> Check | None:
        """The check of a kind: the one that names it, else the first that fits. A Secret has none: what a
        script says is shown to people."""
        if (group, kind) == ("", "Secret"):
            return None
        name = f"{group}/{kind}" if group else kind
        fits = (check for pattern, check in self.patterns if matches(pattern, name))
        return self.named.get(name) or next(fits, None)


def written(config: Mapping[str, str]) -> Said:
    """What `argocd-cm` says of health; empty where it says nothing."""
    return said(config, (CUSTOMIZATIONS, EXPRESSIONS), (_HEALTH, _OPEN_LIBS))


@functools.lru_cache(maxsize=4)
def read(what: Said) -> Checks:
    """The checks of what is `written`. Raises Refused, naming the key, for what makes no sense: without it,
    what waits for health would go on too early."""
    config = dict(what)
    scripts = {one: lua for one, lua in _legacy(config) if lua.script}
    for key, text in config.items():
        if key.startswith(_HEALTH):
            name = kind_of(key, _HEALTH)
            scripts.pop(name, None)
            if text.strip():
                scripts[name] = Lua(key, text)
    for key, text in config.items():
        if key.startswith(_OPEN_LIBS) and (lua := scripts.get(kind_of(key, _OPEN_LIBS))):
            scripts[kind_of(key, _OPEN_LIBS)] = Lua(lua.where, lua.script, _flag(text, key))
    patterns = tuple((one, scripts[one]) for one in sorted(scripts, key=_breadth) if _is_pattern(one))
    named: dict[str, Check] = dict(_expressions(config.get(EXPRESSIONS, "")))
    named |= {one: lua for one, lua in scripts.items() if not _is_pattern(one)}
    for pattern, lua in patterns:
        try:
            matches(pattern, "")
        except ValueError as error:
            raise wrong(lua.where, f"{pattern!r} {error}") from error
    return Checks(named, patterns)


def _legacy(config: Mapping[str, str]) -> Iterator[tuple[str, Lua]]:
    for name, fields in customizations(config).items():
        where = f"{CUSTOMIZATIONS}: {name}"
        script = fields.get("health.lua") or ""
        if not isinstance(script, str):
            raise wrong(where, "health.lua is no text: write a script in Lua, as a block behind `|`")
        open_libs = fields.get("health.lua.useOpenLibs") or False
        yield name, Lua(where, script, _flag(str(open_libs), where))


def _expressions(text: str) -> Iterator[tuple[str, Cel]]:
    found = parsed(text, EXPRESSIONS) or []
    if not isinstance(found, list):
        raise wrong(EXPRESSIONS, "is no list: write it as the healthCheckExprs of a Flux Kustomization")
    for number, value in enumerate(found):
        where = f"{EXPRESSIONS}[{number}]"
        fields = dict(mapping(value, where))
        version, kind, current, failed, in_progress = (
            fields.pop(name, None) or "" for name in ("apiVersion", "kind", "current", "failed", "inProgress")
        )
        if fields:
            raise wrong(where, f"{next(iter(fields))!r} is no field of it: correct it, or leave it out")
        if not all(isinstance(one, str) for one in (version, kind, current, failed, in_progress)):
            raise wrong(where, "has a field that is no text: put expressions into quotes")
        if not (version and kind and current):
            raise wrong(where, "needs apiVersion, kind and current")
        group, slash, _ = version.partition("/")
        yield f"{group}/{kind}" if slash else kind, Cel(where, in_progress, failed, current)


def _is_pattern(name: str) -> bool:
    return any(character in name for character in "*?[{\\")


def _breadth(name: str) -> tuple[int, str]:
    """The longer a pattern, the fewer kinds it means: it comes first."""
    return -len(name), name


def _flag(text: str, where: str) -> bool:
    if text.strip() not in (*_TRUE, *_FALSE):
        raise wrong(where, f"useOpenLibs is {text.strip()[:20]!r}: write true or false")
    return text.strip() in _TRUE

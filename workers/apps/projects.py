"""AppProjects as they were read: one that is broken must not pass for one that is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mooring.errors import Refused
from mooring.model.project import AppProject


@dataclass(frozen=True, slots=True)
class Projects:
    """By name: the projects that can be read, and why the others cannot."""

    good: Mapping[str, AppProject] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, manifests: Iterable[dict[str, Any]]) -> Projects:
        good: dict[str, AppProject] = {}
        broken: dict[str, str] = {}
        for raw in manifests:
            name = str((raw.get("metadata") or {}).get("name") or "")
            if name in good or name in broken:
                broken[name] = f"AppProject {name} is defined twice: remove one of them"
                good.pop(name, None)
                continue
            try:
                good[name] = AppProject.parse(raw)
            except Refused as error:
                broken[name] = str(error)
        return cls(good, broken)

"""What the roles of an AppProject say and nobody could obey: policies are read as Argo CD reads them.

https://argo-cd.readthedocs.io/en/stable/operator-manual/rbac/#policy-syntax
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mooring.model.project import Role

_NAME: Final = re.compile(r"[a-zA-Z0-9]([-_a-zA-Z0-9]*[a-zA-Z0-9])?")
_RESOURCES: Final = ("applications", "applicationsets", "clusters", "exec", "logs", "repositories")
_ACTIONS: Final = ("get", "create", "update", "delete", "sync", "override", "*")
_EFFECTS: Final = ("allow", "deny")


def mistakes(project: str, roles: tuple[Role, ...]) -> Iterator[tuple[str, str]]:
    """Where in the spec of `project` something stands that Argo CD would refuse, and what is wrong with it.

    Nobody has a right by it.
    """
    seen: set[str] = set()
    for number, role in enumerate(roles):
        path = f"roles[{number}]"
        if not _NAME.fullmatch(role.name):
            yield f"{path}.name", f"{role.name!r} is no name of a role: letters, digits, - and _ only"
        elif role.name in seen:
            yield f"{path}.name", f"{role.name} is the name of an earlier role, too"
        seen.add(role.name)
        for place, text in enumerate(role.policies):
            if wrong := _why_no_policy(project, role.name, text):
                yield f"{path}.policies[{place}]", f"{text!r}: {wrong}"
        for place, group in enumerate(role.groups):
            if not group.strip() or any(letter in group for letter in ",\r\n"):
                yield f"{path}.groups[{place}]", f"{group!r} is no name of a group: no commas, no line breaks"


def _why_no_policy(project: str, role: str, text: str) -> str:
    words = [word.strip() for word in text.split(",")]
    if len(words) != 6 or words[0] != "p":
        return f"is no policy: write p, proj:{project}:{role}, <resource>, <action>, {project}/<app>, allow"
    _, subject, resource, action, thing, effect = words
    if subject != f"proj:{project}:{role}":
        return f"is of another role: its subject must be proj:{project}:{role}"
    if resource not in _RESOURCES:
        return f"{resource!r} is nothing that a project's role is about, but {', '.join(_RESOURCES)}"
    verb, separator, _ = action.partition("/")
    if action not in _ACTIONS and not (separator and verb in ("action", "update", "delete")):
        return f"{action!r} is no action, but {', '.join(_ACTIONS)}, action/…"
    if not thing.startswith(f"{project}/") or len(thing) == len(project) + 1:
        return f"{thing!r} is not of this project: it must begin with {project}/"
    if effect not in _EFFECTS:
        return f"{effect!r} is neither allow nor deny"
    return ""

"""ConfigMap `argocd-cm`: keys that name kinds, and YAML read without harm; what is wrong is named. Pure.

https://argo-cd.readthedocs.io/en/stable/operator-manual/argocd-cm-yaml/
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson
import yaml

from mooring.errors import Refused

CUSTOMIZATIONS: Final = "resource.customizations"
ALL: Final = "*/*"
_DEEPEST: Final = 50

Said = tuple[tuple[str, str], ...]  # keys and texts, in an order of their own


def said(config: Mapping[str, str], keys: tuple[str, ...], prefixes: tuple[str, ...]) -> Said:
    """What `config` says at these keys, and at those that begin so."""
    return tuple(
        sorted((key, text) for key, text in config.items() if key in keys or key.startswith(prefixes))
    )


@functools.lru_cache(maxsize=4)
def edition(what: Said) -> str:
    """The digest of what is said, "" of nothing: all applications ask for it, again and again."""
    return hashlib.sha256(orjson.dumps(what)).hexdigest()[:32] if what else ""


def kind_of(key: str, prefix: str) -> str:
    """`example.com/Door` out of `<prefix>example.com_Door`. Raises Refused for a key that names no kind."""
    rest = key.removeprefix(prefix)
    group, _, kind = rest.rpartition("_")
    if not kind or "_" in group:
        raise wrong(key, "names no kind: write <group>_<kind>, or <kind> of the core group")
    if rest == "all":
        return ALL
    return f"{group}/{kind}" if group else kind


def customizations(config: Mapping[str, str]) -> Mapping[str, Mapping[str, Any]]:
    """What the old map says, by kinds as it names them. Raises Refused."""
    found = mapping(parsed(config.get(CUSTOMIZATIONS, ""), CUSTOMIZATIONS), CUSTOMIZATIONS)
    return {str(name): mapping(value, f"{CUSTOMIZATIONS}: {name}") for name, value in found.items()}


def parsed(text: str, where: str) -> Any:
    """The value that is written at `where`. Raises Refused, naming it, for what is no YAML."""
    depth = 0
    try:
        for event in yaml.parse(text, yaml.CSafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:  # it would break the interpreter
                raise wrong(where, f"is nested deeper than {_DEEPEST} levels")
        return yaml.load(text, yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise wrong(where, f"is no YAML: {error.problem}{line}") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # of tags that lie
        raise wrong(where, "is no YAML that can be read") from error


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """`value` if it is a mapping, an empty one for nothing. Raises Refused, naming `where`, else."""
    if value is not None and not isinstance(value, dict):
        raise wrong(where, "is no mapping")
    return value or {}


def wrong(where: str, why: str) -> Refused:
    """What is to be raised where the text at `where` makes no sense."""
    return Refused(f"ConfigMap argocd-cm, {where}: {why}", condition="ComparisonError")

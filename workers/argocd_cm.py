"""YAML inside of ConfigMap `argocd-cm`: read without harm, what is wrong with it named by its key. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from mooring.errors import Refused

CUSTOMIZATIONS: Final = "resource.customizations"
_DEEPEST: Final = 50


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

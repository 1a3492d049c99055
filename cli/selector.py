"""Label selectors, as kubectl and argocd take them. Pure.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]

_KEY: Final = r"(?P<key>[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?)"
_SET: Final = re.compile(rf"{_KEY}\s+(?P<how>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL: Final = re.compile(rf"{_KEY}\s*(?P<how>==|=|!=)\s*(?P<value>[-A-Za-z0-9_.]*)")
_THERE: Final = re.compile(rf"(?P<how>!?)\s*{_KEY}")
_COMMA: Final = re.compile(r",(?![^()]*\))")  # not those between parentheses


def selector(text: str) -> Selector:
    """Whether labels match all requirements of `text`; "" matches everything.

    Raises ValueError naming the requirement that is none.
    """
    if not text.strip():
        return lambda labels: True
    requirements = [_requirement(part.strip()) for part in _COMMA.split(text)]
    return lambda labels: all(matches(labels) for matches in requirements)


def _requirement(text: str) -> Selector:
    if found := _SET.fullmatch(text):
        key, values = found["key"], frozenset(value.strip() for value in found["values"].split(","))
        if found["how"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(text):
        key, value = found["key"], found["value"]
        if found["how"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _THERE.fullmatch(text):
        key, absent = found["key"], bool(found["how"])
        return lambda labels: (key in labels) is not absent
    raise ValueError(f"{text!r} is no requirement: write key=value, key!=value, key in (a,b), key or !key")


def _read(context: click.Context, parameter: click.Parameter, text: str | None) -> Selector | None:
    try:
        return None if text is None else selector(text)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


selector_option: Callable[[Any], Any] = click.option(
    "-l",
    "--selector",
    metavar="LABELS",
    callback=_read,
    help="Those with these labels, as kubectl writes it: `team=sea,tier in (a,b)`.",
)

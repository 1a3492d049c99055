"""No option without a case, and no case that nobody finds: the table in the README is whole and true."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, get_args

import pytest

from mooring.model.part import Part
from mooring.model.spec import Directory, Helm, Jsonnet, Kustomize, Plugin, Source
from tests.corpus.case import CORPUS, Case

CASES: Final = {str(case): case for case in (Case(file.parent) for file in CORPUS.glob("*/*/case.yaml"))}
GROUPS: Final = (Directory, Helm, Jsonnet, Kustomize, Plugin)
_ROW: Final = re.compile(r"\| (?P<shows>.+?) \| (?P<cases>[^|]+) \|")
_OPTION: Final = re.compile(r"`(?P<name>[A-Za-z.]+)`")


def rows() -> Iterator[tuple[str, list[str]]]:
    table = (CORPUS / "README.md").read_text().partition("| Option | Cases |\n| --- | --- |\n")[2]
    for line in table.splitlines():
        row = _ROW.fullmatch(line)
        if row is None:
            return
        yield row["shows"], row["cases"].split(", ")


ROWS: Final = list(rows())


def options(part: type[Part]) -> Iterator[tuple[str, type[Part] | None]]:
    """The fields of a part of the spec as a manifest spells them, each with the part that it holds, or that
    the items of its list are."""
    for field in part.model_fields.values():
        assert field.alias
        types = (each for each in (field.annotation, *get_args(field.annotation)) if isinstance(each, type))
        yield field.alias, next((each for each in types if issubclass(each, Part)), None)


def to_be_listed(part: type[Part], prefix: str = "") -> Iterator[str]:
    for name, inner in options(part):
        if inner in GROUPS and inner is not None:
            yield from to_be_listed(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def to_the_last_field(part: type[Part], prefix: str = "") -> Iterator[str]:
    for name, inner in options(part):
        if inner is None:
            yield f"{prefix}{name}"
        else:
            yield from to_the_last_field(inner, f"{prefix}{name}.")


def given(told: Any, steps: Sequence[str]) -> bool:
    if isinstance(told, list):
        return any(given(each, steps) for each in told)
    if not steps:
        return True
    return isinstance(told, dict) and steps[0] in told and given(told[steps[0]], steps[1:])


def gives(case: Case, option: str) -> bool:
    return any(given(source.to_dict(), option.split(".")) for source in case.sources)


def test_each_case_is_in_the_table_and_what_is_in_the_table_is_there() -> None:
    assert {case for _, cases in ROWS for case in cases} == CASES.keys()


def test_each_option_of_a_source_has_a_row() -> None:
    named = {match["name"] for shows, _ in ROWS if (match := _OPTION.match(shows))}
    assert set(to_be_listed(Source)) - named == set()


def test_each_option_is_given_by_a_case_down_to_the_last_field_of_its_lists() -> None:
    missing = [
        option
        for option in to_the_last_field(Source)
        if not any(gives(case, option) for case in CASES.values())
    ]
    assert missing == []


@pytest.mark.parametrize(("shows", "cases"), ROWS, ids=[shows for shows, _ in ROWS])
def test_the_cases_of_an_option_give_it(shows: str, cases: list[str]) -> None:
    option = _OPTION.match(shows)
    if option is not None:
        assert [case for case in cases if not gives(CASES[case], option["name"])] == []

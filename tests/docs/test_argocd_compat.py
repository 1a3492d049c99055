"""docs/argocd-compat.md leaves out nothing of Argo CD's schema, and each row names a test that shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, get_args

from mooring.model import support
from mooring.model.part import Part
from mooring.model.project import AppProjectSpec
from mooring.model.spec import ApplicationSpec, Operation
from mooring.model.status import ApplicationStatus
from mooring.model.sync_options import _KNOWN
from tests.docs.pages import ROOT, read

_STATUSES: Final = ("supported", "different", "not yet")
_CODE: Final = re.compile(r"`([^`]+)`")
_WORD: Final = re.compile(r"[A-Za-z][\w.-]*")


@dataclass(frozen=True)
class Row:
    table: str  # what the first column of its table is called
    what: str
    status: str
    how: str
    test: str

    @property
    def fields(self) -> set[str]:
        """Full paths of the fields that it is about. A table is called after what its fields begin with
        (`spec.source.…`), and `retry`: `limit`, `refresh` is three fields."""
        prefix = "".join(_CODE.findall(self.table)).removesuffix("…").replace("[]", "")
        first, _, rest = self.what.replace("[]", "").partition("`:")
        above = _CODE.findall(f"{first}`" if rest else first)
        return {f"{prefix}{name}" for name in above} | {
            f"{prefix}{name}.{below}" for name in above for below in _CODE.findall(rest)
        }

    @property
    def words(self) -> set[str]:
        """Names of annotations and options in it: of `argocd.argoproj.io/refresh: hard`, `refresh` too."""
        return {word for piece in _CODE.findall(self.what) for word in _WORD.findall(piece)}


def rows() -> Iterator[Row]:
    """Of the tables that say what is supported: the second column has no title."""
    table = what = ""
    for line in read("docs/argocd-compat.md").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            table = ""
        elif cells[1:2] == [""] and cells[2:3] == ["How"]:
            assert cells[2:] == ["How", "Test"], line
            table, what = cells[0] or "that", ""
        elif table and set(cells[0]) != {"-"}:
            assert len(cells) == 4, f"not of four cells: {line}"
            what = cells[0] or what
            yield Row(table, what, *cells[1:])


ROWS: Final = tuple(rows())


def part_of(annotation: Any) -> type[Part] | None:
    """The part that a field holds, or that the items of its list are."""
    held = (each for each in (annotation, *get_args(annotation)) if isinstance(each, type))
    return next((each for each in held if issubclass(each, Part)), None)


def fields(part: type[Part], prefix: str, known: set[type[Part]], ended: set[str]) -> Iterator[str]:
    """The fields below `prefix`: what is of a part that was met before, or in `ended`, is one field."""
    for field in part.model_fields.values():
        assert field.alias
        path, inner = f"{prefix}{field.alias}", part_of(field.annotation)
        yield path
        if inner and inner not in known and path not in ended:
            known.add(inner)
            yield from fields(inner, f"{path}.", known, ended)


def test_every_field_has_a_row() -> None:
    said = {path for row in ROWS for path in row.fields}
    # Of what is not there yet, nothing is there; what a status tells of is shown by what shows it.
    ended = {path for row in ROWS if row.status == "not yet" for path in row.fields}
    ended |= {f"status.{field.alias}" for field in ApplicationStatus.model_fields.values()}
    known: set[type[Part]] = set()
    roots: dict[str, type[Part]] = {
        "spec.": ApplicationSpec,
        "operation.": Operation,
        "AppProject.spec.": AppProjectSpec,
        "status.": ApplicationStatus,
    }
    there = [path for prefix, part in roots.items() for path in fields(part, prefix, known, ended)]
    assert len(there) > 150
    assert [path for path in there if not any(f"{each}.".startswith(f"{path}.") for each in said)] == []


def test_every_annotation_and_option_has_a_row() -> None:
    said = {word for row in ROWS for word in row.words}
    assert support._ANNOTATIONS.keys() - _OURS <= said
    assert support._APP_ANNOTATIONS.keys() - _OURS <= said
    assert _KNOWN.keys() <= said
    assert {option.partition("=")[0] for option in support._COMPARE_OPTIONS} <= said


_OURS: Final = {"id", "state", "depends-on"}  # which Argo CD does not have: docs/architecture.md


def test_every_row_says_how_it_is() -> None:
    assert [row for row in ROWS if row.status not in _STATUSES] == []
    assert [row for row in ROWS if not row.how] == []


def test_every_row_names_tests_that_there_are() -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    found = {
        name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    found |= {
        f"{case.parent.parent.name}/{case.parent.name}" for case in ROOT.glob("tests/corpus/*/*/case.yaml")
    }
    assert [row.what for row in ROWS if not _CODE.findall(row.test)] == []
    assert {name for row in ROWS for name in _CODE.findall(row.test)} - found == set()

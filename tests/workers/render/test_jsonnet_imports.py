"""Which imports a Jsonnet text has is known without evaluating it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.gitserver import Repository
from mooring.errors import RenderFailed
from workers.git.tree import TreeReader
from workers.render.files import Files
from workers.render.jsonnet_imports import Import, closure, imports_of

HIDDEN = "import 'never' importstr \"never\" importbin @'never'"
# Whatever may stand between two imports and holds none, in every way to hide one.
INERT = st.sampled_from(
    [
        f"// {HIDDEN}\n",
        f"# {HIDDEN} |||\n",
        f"/* {HIDDEN} \n * // */",
        "/**/",
        "/*/ import 'never' */",
        f'"\\" {HIDDEN[:14]} \\\\"',
        "'\\' import \"never\" \\\\'",
        '@"c:\\"" import \'never\' \\"',
        "@'c:\\'' import \"never\" \\'",
        f"|||\n  {HIDDEN}\n  ||| import 'never'\n|||",
        f"|||- \t\n\n\t{HIDDEN}\n\n\t'\n  |||",
        "|||\n   deep\n    deeper |||\n |||",
        "imports 'not one'",
        "xximport 'not one'",
        "self.import_ 'not one'",
        "import_ 'not one'",
        "+ - ! ~ 1.5e3 / 2 | || % $ ^ <= =>",
        "local importer = 3; importer",
        "{ a: [1, 'x', x.y(z)] }",
        "importstr",
        "import (",
        "\n",
    ]
)
PLACES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\"'\\"), min_size=1, max_size=12
)
BETWEEN = st.lists(st.sampled_from([" ", "\n", "\t", "/* x */", "// 'y'\n", '# "z\n']), max_size=4).map(
    "".join
)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str, bool]:
    """An import as it may be written, what it imports, and whether that is code."""
    keyword = draw(st.sampled_from(["import", "importstr", "importbin"]))
    path = draw(PLACES)
    opening, closing = draw(st.sampled_from([("'", "'"), ('"', '"'), ("@'", "'"), ('@"', '"')]))
    return f"{keyword}{draw(BETWEEN)}{opening}{path}{closing}", path, keyword == "import"


@given(st.lists(st.tuples(INERT, written()), max_size=8), INERT)
def test_all_imports_are_found_and_nothing_that_only_looks_like_one(
    parts: list[tuple[str, tuple[str, str, bool]]], end: str
) -> None:
    text, expected = "", []
    for inert, (source, path, is_code) in parts:
        text += f" {inert} ;"
        expected.append((path, is_code))
        text += f" {source} ;"
    found = list(imports_of(text + end))
    assert [(each.path, each.is_code) for each in found] == expected


def test_an_import_knows_its_line_and_what_its_escapes_mean() -> None:
    text = (
        "local a =\n  import 'a\\u0062\\/c';\n|||\n x\n|||;\nimportstr @\"q''\"\"\" # \n import\n\n'l\\'ast'"
    )
    assert list(imports_of(text)) == [
        Import("ab/c", True, 2),
        Import("q''\"", False, 6),
        Import("l'ast", True, 9),
    ]
    assert [each.path for each in imports_of("import '\\ud83d\\ude00' import '\\ud83d'")] == ["😀", "\ufffd"]


@pytest.mark.parametrize(
    "unit",
    ["/*", "'", '"\\', "@'", "|||\n x\n", "||| ", "import", "import ", "\\", "|||\n\n", "'' ", "a ", "#"],
)
def test_no_text_makes_the_search_look_at_it_again_and_again(unit: str) -> None:
    assert list(imports_of(unit * 500_000)) == []  # hours, were it not linear


def test_where_an_import_was_looked_for_is_remembered_in_the_evaluators_order(
    git_repo: Repository, tmp_path: Path
) -> None:
    commit = git_repo.commit(
        {
            "app/main.jsonnet": "[import 'x.libsonnet', importstr 'gone', import 'folder']",
            "lib/x.libsonnet": "import 'y.libsonnet'",
            "app/y.libsonnet": "{}",
            "vendor/unrelated": "",
            "app/folder/inside.libsonnet": "import 'never'",
        }
    )
    tree = TreeReader(git_repo.path, tmp_path / "doubt")
    files = Files(tree, commit)
    found = closure(files, ["app/main.jsonnet"], [("tlas: x", "import 'z'")], ["app", "lib", "vendor"])
    assert found == ["app/main.jsonnet", "app/y.libsonnet", "lib/x.libsonnet"]
    absent = {path for path, id_ in files.reads.items() if id_ is None}
    assert absent == {
        *("app/x.libsonnet", "vendor/x.libsonnet"),
        *("app/gone", "vendor/gone", "lib/gone"),
        *("lib/y.libsonnet", "vendor/y.libsonnet"),
        *("z", "vendor/z", "lib/z", "app/z"),
    }
    assert set(files.reads) - absent == {*found, "app/folder"}
    tree.close()


def test_programs_without_end_are_refused_by_name(git_repo: Repository, tmp_path: Path) -> None:
    commit = git_repo.commit({"m.jsonnet": "import 'x'\n" * 50_001, "self.jsonnet": "import 'self.jsonnet'"})
    tree = TreeReader(git_repo.path, tmp_path / "doubt")
    with pytest.raises(RenderFailed, match=r"m\.jsonnet: there are more than 50000 imports"):
        closure(Files(tree, commit), ["m.jsonnet"], [], [""])
    assert closure(Files(tree, commit), ["self.jsonnet"], [], [""]) == ["self.jsonnet"]
    tree.close()

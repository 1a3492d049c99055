"""Manifests that are meant to exhaust whoever reads them: each is refused by name, none is read to its end.

The same reader takes what tools print, so they can do no more than a file can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Content, Repository, Symlink
from mooring.errors import MooringError
from mooring.model.spec import Source
from workers.git.tree import TreeReader
from workers.render.files import Files
from workers.render.manifest import manifests_of
from workers.render.render import render
from workers.render.source import App, Job, Nothing, Parameters
from workers.render.yaml_reader import read_documents

pytestmark = pytest.mark.usefixtures("tools")
CONFIG = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}'
MANY: dict[str, tuple[str, str]] = {
    "a million documents": ("---\na: 1\n" * 1_000_000, "too many documents"),
    "a million that are empty": ("---\n#\n" * 1_000_000, "too many documents"),
    "a million that are null": ("---\n~\n" * 1_000_000, "too many documents"),
    "a million JSON objects": ("{}" * 1_000_000, "too many documents"),
    "a hundred thousand manifests": ((CONFIG + "\n") * 100_000, "too many documents"),
    "a list of as many": (
        f'{{"apiVersion":"v1","kind":"List","items":[{",".join([CONFIG] * 100_000)}]}}',
        "more than 20000 objects",
    ),
    "millions of values": (f"a: [{'1,' * 4_000_000}]", "too many values"),
    "millions of keys": (f"{{{'a: 1, ' * 1_500_000}}}", "too many values"),
    "10,000 lists in each other": (f"a: {'[' * 10_000}{']' * 10_000}", "nested deeper than"),
    "10,000 mappings in each other": (f"{'{a: ' * 10_000}1{'}' * 10_000}", "nested deeper than"),
    "10,000 of JSON": (f'{{"a":{"[" * 10_000}{"]" * 10_000}}}', "nested deeper than"),
    "1,000 by their indents": ("".join(f"{' ' * n}a:\n" for n in range(1000)), "nested deeper than"),
    "aliases of aliases": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)),
        "aliases expand to too much",
    ),
}


@pytest.mark.parametrize("text,message", MANY.values(), ids=list(MANY))
def test_what_a_tool_prints_is_refused_naming_the_tool(text: str, message: str) -> None:
    with pytest.raises(MooringError, match=rf"what the tool printed(:\d+)?: .*{message}"):
        manifests_of(read_documents(text.encode(), "what the tool printed")[0], "what the tool printed")


Rendering = Callable[[dict[str, Content]], Any]


@pytest.fixture
def rendering(git_repo: Repository, tmp_path: Path) -> Iterator[Rendering]:
    tree = TreeReader(git_repo.path, tmp_path / "doubt")

    def rendered(files: dict[str, Content]) -> Any:
        source = Source.model_validate({"repoURL": git_repo.url, "path": "app"})
        files_of = Files(tree, git_repo.commit({"app/fine.yaml": CONFIG, **files}, parent=""))
        return render([Job(App("shop"), source, files_of, Nothing(), Parameters(scratch=tmp_path))])

    yield rendered
    tree.close()


@pytest.mark.parametrize("text,message", MANY.values(), ids=list(MANY))
def test_a_file_of_a_directory_is_refused_by_name(rendering: Rendering, text: str, message: str) -> None:
    with pytest.raises(MooringError, match=rf"app/x\.yaml(:\d+)?: .*{message}"):
        rendering({"app/x.yaml": text})


def test_many_files_can_do_no_more_than_one(rendering: Rendering) -> None:
    with pytest.raises(MooringError, match="too many documents"):
        rendering({f"app/{n}.yaml": "---\na: 1\n" * 15_000 for n in range(4)})
    with pytest.raises(MooringError, match="too many values"):
        rendering({f"app/{n}.yaml": f"a: [{'1,' * 400_000}]" for n in range(4)})
    several = ",".join([CONFIG] * 15_000)
    with pytest.raises(MooringError, match="more than 20000 objects"):
        rendering(
            {f"app/{n}.json": f'{{"apiVersion":"v1","kind":"List","items":[{several}]}}' for n in range(2)}
        )


def test_a_manifest_of_100_mb_is_refused_before_it_is_read(rendering: Rendering) -> None:
    with pytest.raises(MooringError, match=r"app/x\.yaml: is larger than 10485760 bytes"):
        rendering({"app/x.yaml": CONFIG + "#" * (100 << 20)})
    with pytest.raises(MooringError, match="the files of this app are larger than 10485760 bytes together"):
        rendering({f"app/{n}.yaml": CONFIG + " " * (9 << 20) for n in range(12)})


def test_thousands_of_repeated_keys_are_no_thousands_of_warnings(rendering: Rendering) -> None:
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{{'a: b, ' * 50_000}}}\n"
    assert len(rendering({"app/x.yaml": text}).warnings) == 20


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "..", "/proc/self/environ"])
@pytest.mark.parametrize("name", ["x.yaml", "x.jsonnet", "x.json"])
def test_a_link_out_of_the_repository_is_refused_whoever_would_read_it(
    rendering: Rendering, name: str, target: str
) -> None:
    files: dict[str, Content] = {f"app/{name}": Symlink(target)}
    if target == "..":  # a directory of the repository: no file, so it is left out
        assert "leads to no file" in rendering(files).warnings[0]
    else:
        with pytest.raises(MooringError, match=rf"app/{name}: a symbolic link leads out of the repository"):
            rendering(files)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "/proc/self/environ"])
@pytest.mark.parametrize("kind", ["import", "importstr", "importbin"])
def test_nor_can_jsonnet_import_through_one(rendering: Rendering, kind: str, target: str) -> None:
    program = f"{{ a: {kind} 'link' }}"
    with pytest.raises(MooringError, match=r"app/link: a symbolic link leads out of the repository"):
        rendering({"app/x.jsonnet": program, "app/link": Symlink(target)})
    with pytest.raises(MooringError, match=r"app/folder(/.*)?: a symbolic link leads out"):
        rendering(
            {"app/x.jsonnet": f"{{ a: {kind} 'folder/passwd' }}", "app/folder": Symlink("../../../etc")}
        )

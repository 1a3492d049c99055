"""A plain directory of a real repository becomes manifests, by Argo CD's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Repository, Symlink
from mooring.errors import Refused, RenderFailed
from mooring.model.spec import Source
from workers.git.tree import TreeReader
from workers.render.files import Files, Limits
from workers.render.readset import ReadSet
from workers.render.render import render
from workers.render.source import App, Capabilities, Job, Nothing, Parameters, Rendered

Content = dict[str, Any]
Render = Callable[..., Rendered]


def config(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"


@pytest.fixture
def tree(git_repo: Repository, tmp_path: Path) -> Iterator[TreeReader]:
    reader = TreeReader(git_repo.path, tmp_path / "doubt")
    yield reader
    reader.close()


@pytest.fixture
def rendered(git_repo: Repository, tree: TreeReader) -> Render:
    def rendering(
        files: Content, path: str = "app", parameters: Parameters | None = None, **source: Any
    ) -> Rendered:
        commit = git_repo.commit(files)
        spec = Source.model_validate({"repoURL": git_repo.url, "path": path, **source})
        parameters = parameters or Parameters()
        read = Files(tree, commit, parameters.limits)
        return render([Job(App("shop"), spec, read, Nothing(), parameters)])

    return rendering


def names(rendered: Rendered) -> list[str]:
    return [manifest.key.name for manifest in rendered.manifests]


FILES: Content = {
    "app/b.yaml": config("b"),
    "app/a.yml": config("a1") + "---\n" + config("a2"),
    "app/c.json": '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}',
    "app/README.md": "kind: Nothing",
    "app/deep/d.yaml": config("d"),
    "other/e.yaml": config("e"),
}


def test_only_the_files_of_the_directory_itself_are_rendered_in_their_order(rendered: Render) -> None:
    result = rendered(FILES)
    assert names(result) == ["a1", "a2", "b", "c"]
    assert [m.where for m in result.manifests][:2] == ["app/a.yml:1", "app/a.yml:5"]
    assert result.warnings == ()


def test_recurse_goes_deeper(rendered: Render) -> None:
    assert names(rendered(FILES, directory={"recurse": True})) == ["a1", "a2", "b", "c", "d"]
    assert names(rendered(FILES, path=".", directory={"recurse": True}))[-1] == "e"


def test_include_and_exclude_look_at_the_path_below_the_apps(rendered: Render) -> None:
    assert names(rendered(FILES, directory={"include": "*.json"})) == ["c"]
    assert names(rendered(FILES, directory={"recurse": True, "exclude": "{deep/*,*.yml}"})) == ["b", "c"]
    both = {"include": "{a,b}.*", "exclude": "b*"}
    assert names(rendered(FILES, directory=both)) == ["a1", "a2"]
    with pytest.raises(RenderFailed, match="pattern"):
        rendered(FILES, directory={"include": "{*.yaml"})


def test_a_path_that_is_not_there_is_refused_with_its_commit(rendered: Render) -> None:
    with pytest.raises(RenderFailed, match=r"app path does not exist: 'nope' at commit [0-9a-f]{12}"):
        rendered(FILES, path="nope")
    with pytest.raises(RenderFailed, match="not a directory"):
        rendered(FILES, path="app/b.yaml")
    with pytest.raises(Refused):
        rendered(FILES, path="../app")


def test_broken_yaml_is_refused_naming_file_and_line(rendered: Render) -> None:
    with pytest.raises(RenderFailed) as caught:
        rendered({**FILES, "app/z.yaml": config("z") + "data: [\n"})
    assert caught.value.where == "app/z.yaml:5"
    assert caught.value.condition == "ComparisonError"


def test_yaml_that_is_nothing_like_a_manifest_is_passed_over(rendered: Render) -> None:
    result = rendered({**FILES, "app/values.yaml": "replicas: 3\n", "app/list.yaml": "- a\n"})
    assert names(result) == ["a1", "a2", "b", "c"]
    assert not result.warnings


def test_a_path_without_any_manifest_is_told_and_no_failure(rendered: Render) -> None:
    for files, options in (
        ({"app/README.md": "nothing yet"}, {}),
        ({"app/values.yaml": "replicas: 3\n"}, {}),
        ({"app/deep/d.yaml": config("d")}, {}),
        (FILES, {"include": "*.yml.tmpl"}),
    ):
        result = rendered(files, directory=options)
        assert names(result) == []
        assert len(result.warnings) == 1
        assert result.warnings[0].startswith("path 'app' has no manifests: if it should, correct source.path")
    assert rendered(FILES).warnings == ()


def test_a_manifest_beside_something_else_in_one_file_is_refused(rendered: Render) -> None:
    with pytest.raises(RenderFailed, match="apiVersion is missing"):
        rendered({"app/a.yaml": config("a") + "---\nreplicas: 3\n"})


def test_a_json_file_holds_one_object(rendered: Render) -> None:
    one = FILES["app/c.json"]
    for text in (one + one, "[]", "{}", '{"kind"'):
        with pytest.raises(RenderFailed, match=r"app/x\.json"):
            rendered({"app/x.json": text})


def test_a_file_with_the_marker_is_skipped(rendered: Render) -> None:
    assert names(rendered({**FILES, "app/b.yaml": "# +argocd:skip-file-rendering\n" + config("b")})) == [
        "a1",
        "a2",
        "c",
    ]


CHART: Content = {
    "app/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "app/templates/a.yaml": config("a"),
}


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize(
    ("files", "source", "kind"),
    [
        (FILES, {}, "Directory"),
        (CHART, {}, "Helm"),
        (CHART, {"directory": {}, "kustomize": {}}, "Helm"),
        (FILES, {"helm": {}, "kustomize": {}}, "Directory"),
        (CHART, {"directory": {"recurse": True, "include": "templates/*"}}, "Directory"),
        (FILES | {"app/kustomization.yaml": "resources: [b.yaml]\n"}, {}, "Kustomize"),
        (FILES | {"app/Kustomization": "resources: [b.yaml]\n"}, {}, "Kustomize"),
    ],
)
def test_the_kind_is_what_the_source_says_else_what_lies_at_its_path(
    rendered: Render, tmp_path: Path, files: Content, source: Content, kind: str
) -> None:
    parameters = Parameters(capabilities=lambda: Capabilities("1.33.0", ("v1",)), scratch=tmp_path)
    result = rendered(files, parameters=parameters, **source)
    assert result.kinds == (kind,)
    assert result.manifests


def test_a_source_with_the_options_of_several_kinds_is_refused(rendered: Render) -> None:
    with pytest.raises(RenderFailed, match="several types: Helm, Kustomize"):
        rendered(FILES, helm={"values": "a: 1"}, kustomize={"namePrefix": "a-"})


def test_an_explicit_directory_is_one_whatever_lies_in_it(rendered: Render) -> None:
    result = rendered({**FILES, "app/Chart.yaml": "name: x\n"}, directory={"recurse": True})
    assert names(result) == ["a1", "a2", "b", "c", "d"]


def test_links_are_followed_inside_the_repository_only(rendered: Render) -> None:
    linked = rendered({**FILES, "app/l.yaml": Symlink("../other/e.yaml"), "app/x.yaml": Symlink("gone")})
    assert names(linked) == ["a1", "a2", "b", "c", "e"]
    assert linked.warnings == ("app/x.yaml: left out: it leads to no file",)
    read = dict(linked.read_sets[0].paths)
    assert read["other/e.yaml"]
    assert read["app/l.yaml"]
    assert read["app/gone"] is None
    assert "" not in read
    for target in ("/etc/passwd", "../../x.yaml"):
        with pytest.raises(RenderFailed, match=r"app/l\.yaml: .*leads out"):
            rendered({**FILES, "app/l.yaml": Symlink(target)})


def test_files_too_large_are_refused_by_name(rendered: Render) -> None:
    with pytest.raises(RenderFailed, match=r"app/a\.yml: is larger than 100 bytes"):
        rendered(FILES, parameters=Parameters(limits=Limits(file_bytes=100)))
    with pytest.raises(RenderFailed, match="together"):
        rendered(FILES, parameters=Parameters(limits=Limits(total_bytes=200)))


def test_repeated_keys_are_a_warning_or_by_setting_an_error(rendered: Render) -> None:
    files = {"app/a.yaml": config("a") + "data: {b: c, b: d}\n"}
    assert rendered(files).warnings == ("app/a.yaml:4: the key 'b' is given twice, the last one counts",)
    with pytest.raises(RenderFailed, match=r"app/a\.yaml:4"):
        rendered(files, parameters=Parameters(duplicate_keys="error"))


def test_a_push_elsewhere_leaves_the_read_set_as_it_is(
    rendered: Render, git_repo: Repository, tree: TreeReader
) -> None:
    before = rendered(FILES).read_sets[0]
    elsewhere = git_repo.commit({"other/e.yaml": config("changed")})
    assert before.at(tree.tree_id, elsewhere) == before
    inside = git_repo.commit({"app/b.yaml": config("changed")})
    assert before.at(tree.tree_id, inside) != before
    assert before.at(tree.tree_id, inside).key != before.key
    gone = git_repo.commit({name: None for name in FILES if name.startswith("app/")})
    assert before.at(tree.tree_id, gone) != before


def test_other_options_are_another_read_set(rendered: Render) -> None:
    plain = rendered(FILES, directory={"recurse": True}).read_sets[0]
    filtered = rendered(FILES, directory={"recurse": True, "exclude": "x"}).read_sets[0]
    assert plain.paths == filtered.paths
    assert plain != filtered
    assert ReadSet.from_json(plain.to_json()) == plain

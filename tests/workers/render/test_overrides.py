"""Parameters that lie in Git beside the manifests: the source is as they have it, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Content, Repository, Symlink
from mooring.errors import RenderFailed
from mooring.model.spec import Source
from workers.git.tree import TreeReader
from workers.render.files import Files
from workers.render.overrides import overridden
from workers.render.render import render
from workers.render.source import App, Job, Nothing, Parameters, Rendered

Seen = Callable[[dict[str, Content]], Files]


@pytest.fixture
def seen(git_repo: Repository, tmp_path: Path) -> Iterator[Seen]:
    reader = TreeReader(git_repo.path, tmp_path / "doubt")
    yield lambda files: Files(reader, git_repo.commit(files, parent=""))
    reader.close()


def a_source(**options: Any) -> Source:
    return Source.model_validate({"repoURL": "https://git.example/team/app", "path": "app", **options})


def test_the_files_of_all_apps_and_of_this_one_are_laid_over_the_spec(seen: Seen) -> None:
    files = seen(
        {
            "app/.argocd-source.yaml": "kustomize:\n  namePrefix: all-\n  images: [a:1, b:1]\n",
            "app/.argocd-source-shop.yaml": "kustomize:\n  namePrefix: shop-\n  nameSuffix: null\n",
            "app/.argocd-source-other.yaml": "kustomize: {namePrefix: other-}\n",
        }
    )
    source = a_source(kustomize={"nameSuffix": "-x", "images": ["c:1"], "namespace": "web"})
    patched, warnings = overridden(source, files, "shop")
    assert patched.to_dict() == {
        "repoURL": "https://git.example/team/app",
        "path": "app",
        "kustomize": {"namePrefix": "shop-", "images": ["a:1", "b:1"], "namespace": "web"},
    }
    assert warnings == ()


def test_both_names_are_in_the_read_set_whether_they_are_there_or_not(seen: Seen) -> None:
    files = seen({"app/.argocd-source.yaml": "directory: {recurse: true}\n", "app/x.yaml": ""})
    overridden(a_source(), files, "shop")
    assert files.reads["app/.argocd-source.yaml"]
    assert files.reads["app/.argocd-source-shop.yaml"] is None


def test_a_repository_cannot_move_the_source_elsewhere(seen: Seen) -> None:
    text = (
        "repoURL: https://evil.example/x\npath: ../../etc\ntargetRevision: null\nchart: redis\nref: values\n"
        "directory: {recurse: true}\n"
    )
    files = seen({"app/.argocd-source.yaml": text})
    source = a_source(targetRevision="main")
    patched, warnings = overridden(source, files, "shop")
    assert patched == source.model_copy(update={"directory": patched.directory})
    assert patched.directory is not None
    assert patched.directory.recurse
    assert warnings == tuple(
        f"app/.argocd-source.yaml:1: {name} is not taken from here: set it in the Application"
        for name in ("repoURL", "path", "targetRevision", "chart", "ref")
    )


def test_a_field_that_nobody_knows_is_told(seen: Seen) -> None:
    files = seen({"app/.argocd-source.yaml": "\nkustomize: {nameprefix: x}\n"})
    assert overridden(a_source(), files, "shop")[1] == (
        "app/.argocd-source.yaml:2: kustomize.nameprefix: no such field is known",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "helm:\n  parameters: [{name: a, value: 5}]\n",
            r"source.yaml:1: .*helm.parameters\[0\].value: .*string",
        ),
        ("a: 1\n---\nb: 2\n", r"source.yaml:3: a second document"),
        ("- a\n", r"source.yaml:1: "),
        ("helm: {values: |\n", r"source.yaml:1: "),
        ("a: &a [x]\nb: *c\n", r"source.yaml:2: "),
        ("helm: 5\n", r"source.yaml:1: .*helm: "),
        ("{" * 100_000, r"source.yaml"),
        ("\x00", r"source.yaml"),
        (Symlink("../../outside.yaml"), r"source.yaml: a symbolic link leads out of the repository"),
    ],
)
def test_a_broken_file_is_an_error_that_names_it(seen: Seen, text: Content, message: str) -> None:
    files = seen({"app/.argocd-source.yaml": text})
    with pytest.raises(RenderFailed, match=message):
        overridden(a_source(), files, "shop")


def test_an_error_shows_no_value(seen: Seen) -> None:
    files = seen({"app/.argocd-source.yaml": "helm: {parameters: [{name: password, value: [s3cr3t]}]}\n"})
    with pytest.raises(RenderFailed) as caught:
        overridden(a_source(), files, "shop")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "# nothing\n", "null\n"])
def test_an_empty_file_changes_nothing(seen: Seen, content: str) -> None:
    files = seen({"app/.argocd-source.yaml": content, "app/.argocd-source-shop.yaml/x": "a directory"})
    assert overridden(a_source(), files, "shop") == (a_source(), ())


def test_an_override_decides_which_files_are_deployed(seen: Seen) -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
    files = seen(
        {
            "app/a.yaml": config % "a",
            "app/deep/b.yaml": config % "b",
            "app/deep/c.yaml": config % "c",
            "app/.argocd-source.yaml": "directory: {recurse: true}\n",
            "app/.argocd-source-shop.yaml": "directory: {exclude: '*c.yaml'}\n",
        }
    )

    def rendered(app: str) -> Rendered:
        return render([Job(App(app), a_source(), files, Nothing(), Parameters())])

    assert [manifest.key.name for manifest in rendered("shop").manifests] == ["a", "b"]
    assert [manifest.key.name for manifest in rendered("other").manifests] == ["a", "b", "c"]

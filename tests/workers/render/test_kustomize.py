"""A kustomization is rendered from what it names, and from nothing else."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Content, Executable, GitServer, Repository, Symlink
from mooring.errors import GitRefused, RenderFailed
from mooring.model.spec import Source
from workers.git.tree import TreeReader
from workers.render.files import Files, Tree
from workers.render.readset import COMMIT
from workers.render.render import render
from workers.render.source import App, Capabilities, Job, Parameters, Rendered

pytestmark = pytest.mark.usefixtures("tools")


def configmap(name: str, **data: str) -> str:
    told = "".join(f"  {key}: {value!r}\n" for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n" + (
        f"data:\n{told}" if told else ""
    )


def kustomization(*resources: str, more: str = "") -> str:
    return "resources:\n" + "".join(f"- {each}\n" for each in resources) + more


@dataclass
class Elsewhere:
    """Repositories and files of other hosts, by address."""

    repositories: dict[str, tuple[Tree, str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def git(self, url: str, revision: str) -> tuple[Tree, str]:
        self.asked.append(f"{url} {revision}")
        if url not in self.repositories:
            raise GitRefused("project shop does not permit this repository")
        return self.repositories[url]

    def file(self, url: str) -> tuple[bytes, str]:
        self.asked.append(url)
        return self.files[url], hashlib.sha256(self.files[url]).hexdigest()

    def chart(self, repo_url: str, chart: str, revision: str) -> tuple[Tree, str, str]:
        raise GitRefused("no charts here")

    def digest(self, address: str) -> str:
        raise GitRefused("nobody asks for what was fetched before")


class Workshop:
    """Renders what is committed."""

    def __init__(self, server: GitServer, scratch: Path) -> None:
        self.server = server
        self.scratch = scratch
        self.elsewhere = Elsewhere()
        self.readers: list[TreeReader] = []

    def repository(self, files: Mapping[str, Content]) -> tuple[TreeReader, str, Repository]:
        repository = self.server.create(f"kustomize-{secrets.token_hex(5)}")
        reader = TreeReader(repository.path, self.scratch / "doubt")
        self.readers.append(reader)
        return reader, repository.commit(files), repository

    def remote(self, url: str, files: Mapping[str, Content]) -> str:
        reader, commit, _ = self.repository(files)
        self.elsewhere.repositories[url] = (reader, commit)
        return commit

    def rendered(self, files: Mapping[str, Content], path: str = "app", **options: Any) -> Rendered:
        reader, commit, _ = self.repository(files)
        return self.at(reader, commit, path, **options)

    def at(self, reader: TreeReader, commit: str, path: str = "app", **options: Any) -> Rendered:
        told = {"repoURL": "https://git.example/app", "path": path, "kustomize": options or None}
        parameters = Parameters(scratch=self.scratch, capabilities=lambda: Capabilities("1.33.1", ("v1",)))
        job = Job(
            App("shop", "argocd"),
            Source.model_validate(told),
            Files(reader, commit),
            self.elsewhere,
            parameters,
        )
        return render([job])


@pytest.fixture
def workshop(git_server: GitServer, tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(git_server, tmp_path)
    yield made
    for reader in made.readers:
        reader.close()


def names(rendered: Rendered) -> list[str]:
    return [manifest.key.name for manifest in rendered.manifests]


def refused(render: Callable[[], object]) -> str:
    with pytest.raises((RenderFailed, GitRefused)) as caught:
        render()
    return str(caught.value)


# --- what is read ---------------------------------------------------------------------------------
def test_a_push_to_a_file_that_the_kustomization_does_not_name_is_another_apps_business(
    workshop: Workshop,
) -> None:
    files = {
        "app/kustomization.yaml": kustomization("web.yaml", "../base"),
        "app/web.yaml": configmap("web"),
        "app/README.md": "old\n",
        "base/kustomization.yaml": kustomization("base.yaml"),
        "base/base.yaml": configmap("base"),
        "base/unused.yaml": configmap("unused"),
    }
    reader, commit, repository = workshop.repository(files)
    (read,) = workshop.at(reader, commit).read_sets

    def moved(changed: Mapping[str, Content | None]) -> bool:
        return read.at(reader.tree_id, repository.commit(changed, parent=commit, branch="next")) != read

    assert not moved({"app/README.md": "new\n", "base/unused.yaml": "new: 1\n", "base/more/x.yaml": "x: 1\n"})
    assert moved({"base/base.yaml": configmap("base", v="2")})
    assert moved({"base/kustomization.yml": "resources: []\n"}), "a second kustomization is an error"
    assert moved({"base/kustomization.yaml": None})
    assert moved({"app/web.yaml": None})


def test_manifests_come_in_kustomizes_order_and_stand_in_the_kustomization(workshop: Workshop) -> None:
    files = {
        "app/kustomization.yaml": kustomization(
            "z.yaml", "a.yaml", "m.yaml", more="sortOptions: {order: fifo}\n"
        ),
        **{f"app/{name}.yaml": configmap(name) for name in "amz"},
    }
    rendered = workshop.rendered(files)
    assert names(rendered) == ["z", "a", "m"]
    assert {manifest.where for manifest in rendered.manifests} == {"app/kustomization.yaml:1"}
    assert rendered.kinds == ("Kustomize",)
    assert rendered.pure


def test_one_kustomization_may_come_in_by_several_ways(workshop: Workshop) -> None:
    files = {
        "app/kustomization.yaml": kustomization("../a", "../b"),
        "a/kustomization.yaml": kustomization("../shared", more="namePrefix: a-\n"),
        "b/kustomization.yaml": kustomization("../shared", more="namePrefix: b-\n"),
        "shared/kustomization.yaml": kustomization("map.yaml"),
        "shared/map.yaml": configmap("map"),
    }
    assert names(workshop.rendered(files)) == ["a-map", "b-map"]


def test_a_circle_of_bases_ends_in_kustomizes_own_words(workshop: Workshop) -> None:
    files = {
        "app/kustomization.yaml": kustomization("../base"),
        "base/kustomization.yaml": kustomization("../app"),
    }
    told = refused(lambda: workshop.rendered(files))
    assert told.startswith("app/kustomization.yaml: kustomize: ")
    assert "cycle detected: candidate root 'app' contains visited root" in told


def test_what_is_deprecated_is_told_of_each_file_that_has_it_and_of_no_option(workshop: Workshop) -> None:
    files = {
        "app/kustomization.yaml": kustomization("../base", "../other"),
        "base/kustomization.yaml": kustomization("map.yaml", more="commonLabels: {a: b}\n"),
        "base/map.yaml": configmap("map"),
        "other/kustomization.yaml": "bases: [../last]\n",
        "last/kustomization.yaml": kustomization("map.yaml", more="commonLabels: {a: b}\n"),
        "last/map.yaml": configmap("last"),
    }
    fix = "Run 'kustomize edit fix' to update your Kustomization automatically."
    assert sorted(workshop.rendered(files, commonLabels={"c": "d"}).warnings) == [
        f"base/kustomization.yaml: 'commonLabels' is deprecated. Please use 'labels' instead. {fix}",
        f"last/kustomization.yaml: 'commonLabels' is deprecated. Please use 'labels' instead. {fix}",
        f"other/kustomization.yaml: 'bases' is deprecated. Please use 'resources' instead. {fix}",
    ]
    assert (
        workshop.rendered(
            {"app/kustomization.yaml": kustomization(more="configMapGenerator: [{name: a}]\n")},
            commonLabels={"c": "d"},
        ).warnings
        == ()
    )


def test_where_an_option_names_the_commit_each_commit_is_another_render(workshop: Workshop) -> None:
    files = {"app/kustomization.yaml": kustomization("map.yaml"), "app/map.yaml": configmap("map")}
    annotations = {"commit": "$ARGOCD_APP_REVISION"}
    plain = workshop.rendered(files, commonAnnotations=annotations)
    assert plain.manifests[0].body["metadata"]["annotations"] == annotations
    assert "" not in dict(plain.read_sets[0].paths)
    told = workshop.rendered(files, commonAnnotations=annotations, commonAnnotationsEnvsubst=True)
    (commit,) = told.manifests[0].body["metadata"]["annotations"].values()
    assert len(commit) == 40
    assert COMMIT in dict(told.read_sets[0].paths)
    assert told.read_sets[0].inputs != plain.read_sets[0].inputs


@pytest.mark.parametrize("component", ["../../x", "/etc", "[z-a]", "a\nb", "missing"])
def test_a_component_that_makes_no_sense_is_told_with_the_option(workshop: Workshop, component: str) -> None:
    files = {"app/kustomization.yaml": kustomization("map.yaml"), "app/map.yaml": configmap("map")}
    told = refused(lambda: workshop.rendered(files, components=[component]))
    assert "components: " in told
    assert told.isprintable()


# --- other repositories ---------------------------------------------------------------------------
def test_a_remote_base_is_fetched_and_so_is_what_that_one_names(workshop: Workshop) -> None:
    first = workshop.remote(
        "https://git.example/org/first",
        {
            "web/kustomization.yaml": kustomization("../map", "https://git.example/org/second//?ref=main"),
            "map/kustomization.yaml": kustomization("map.yaml"),
            "map/map.yaml": configmap("first"),
        },
    )
    second = workshop.remote(
        "https://git.example/org/second",
        {"kustomization.yaml": kustomization("map.yaml"), "map.yaml": configmap("second")},
    )
    rendered = workshop.rendered(
        {"app/kustomization.yaml": kustomization("https://git.example/org/first//web?ref=v1")}
    )
    assert names(rendered) == ["first", "second"]
    assert rendered.read_sets[0].remotes == (
        ("git https://git.example/org/first v1", first),
        ("git https://git.example/org/second main", second),
    )


def test_the_origin_of_what_was_fetched_is_told_by_where_it_lay_to_be_built(workshop: Workshop) -> None:
    files = {"base/kustomization.yaml": kustomization("map.yaml"), "base/map.yaml": configmap("theirs")}
    workshop.remote("https://git.example/org/base", files)
    resources = kustomization("https://git.example/org/base//base", "map.yaml")
    rendered = workshop.rendered(
        {
            "app/kustomization.yaml": f"{resources}buildMetadata: [originAnnotations]\n",
            "app/map.yaml": configmap("ours"),
        }
    )
    told = {
        manifest.key.name: manifest.body["metadata"]["annotations"]["config.kubernetes.io/origin"]
        for manifest in rendered.manifests
    }
    assert told["ours"] == "path: map.yaml\n"
    assert told["theirs"].endswith("/base/map.yaml\n")
    assert "git.example" not in told["theirs"]


def test_a_remote_base_sees_its_own_repository_only(workshop: Workshop) -> None:
    workshop.remote(
        "https://git.example/org/evil", {"base/kustomization.yaml": kustomization("../../../repo/app")}
    )
    told = refused(
        lambda: workshop.rendered(
            {"app/kustomization.yaml": kustomization("https://git.example/org/evil//base")}
        )
    )
    assert told == (
        "https://git.example/org/evil//base/kustomization.yaml: resources: ../../../repo/app leads out of "
        "the repository"
    )


def test_remote_bases_that_name_each_other_come_to_an_end(workshop: Workshop) -> None:
    workshop.remote(
        "https://git.example/org/a", {"kustomization.yaml": kustomization("https://git.example/org/b")}
    )
    workshop.remote(
        "https://git.example/org/b", {"kustomization.yaml": kustomization("https://git.example/org/a")}
    )
    told = refused(
        lambda: workshop.rendered({"app/kustomization.yaml": kustomization("https://git.example/org/a")})
    )
    assert "cycle detected: candidate root 'https://git.example/org/a' contains visited root" in told


def test_what_the_project_does_not_permit_is_told_with_file_and_url(workshop: Workshop) -> None:
    told = refused(
        lambda: workshop.rendered(
            {"app/kustomization.yaml": kustomization("git@other.example:org/repo//base")}
        )
    )
    assert told == (
        "app/kustomization.yaml: resources: git@other.example:org/repo: project shop does not permit this "
        "repository"
    )


def test_a_file_of_this_repository_is_no_repository_however_it_is_called(workshop: Workshop) -> None:
    files = {
        "app/kustomization.yaml": kustomization("github.com/org/repo"),
        "app/github.com/org/repo": configmap("local"),
    }
    assert names(workshop.rendered(files)) == ["local"]
    assert workshop.elsewhere.asked == []


def test_a_password_in_an_address_is_neither_used_nor_told(workshop: Workshop) -> None:
    files = {"app/kustomization.yaml": kustomization("https://me:hunter2@git.example/org/repo//base")}
    told = refused(lambda: workshop.rendered(files))
    assert "has a password in it" in told
    assert "hunter2" not in told
    assert workshop.elsewhere.asked == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("resources: [gone.yaml]\n", "app/gone.yaml"),
        ("resources: [web.yaml]\npatches: [{path: gone.yaml}]\n", "app/gone.yaml"),
        ("resources: [../gone]\n", "gone"),
        ("configMapGenerator: [{name: a, files: [gone.txt]}]\n", "app/gone.txt"),
    ],
)
def test_what_is_named_and_not_there_is_told_once(workshop: Workshop, text: str, path: str) -> None:
    files: dict[str, Content] = {"app/kustomization.yaml": text, "app/web.yaml": configmap("web")}
    assert refused(lambda: workshop.rendered(files)) == (
        f"app/kustomization.yaml: kustomize: {path} is not there: add it, or correct the kustomization that "
        "names it"
    )


# --- hostile repositories -------------------------------------------------------------------------
@pytest.mark.parametrize("link", ["../../../../etc/passwd", "/etc/passwd", "../..", "/"])
@pytest.mark.parametrize("name", ["web.yaml", "base", "kustomization.yaml"])
def test_a_symbolic_link_out_of_the_repository_is_refused(workshop: Workshop, name: str, link: str) -> None:
    files: dict[str, Content] = {
        "app/kustomization.yaml": kustomization("web.yaml", "base"),
        "app/web.yaml": configmap("web"),
        "app/base/kustomization.yaml": kustomization("x.yaml"),
        "app/base/x.yaml": configmap("x"),
    }
    if name == "base":
        del files["app/base/kustomization.yaml"], files["app/base/x.yaml"]
    files[f"app/{name}"] = Symlink(link)
    assert "a symbolic link leads out of the repository" in refused(lambda: workshop.rendered(files))


PLUGINS = {
    "exec": "exec: {path: ./evil.sh}",
    "container": "container: {image: evil.example/evil}",
    "starlark": "starlark: {path: ./evil.star}",
}


@pytest.mark.parametrize("field", ["generators", "transformers", "validators"])
@pytest.mark.parametrize("how", PLUGINS)
def test_no_plugin_of_a_repository_is_ever_run(
    workshop: Workshop, tmp_path: Path, field: str, how: str
) -> None:
    mark = tmp_path / "was-here"
    files: dict[str, Content] = {
        "app/kustomization.yaml": kustomization("web.yaml", more=f"{field}: [plugin.yaml]\n"),
        "app/web.yaml": configmap("web"),
        "app/plugin.yaml": (
            "apiVersion: team.example/v1\nkind: Evil\nmetadata:\n  name: evil\n  annotations:\n"
            f"    config.kubernetes.io/function: |\n      {PLUGINS[how]}\n"
        ),
        "app/evil.sh": Executable(f"#!/bin/sh\ntouch {mark}\n"),
        "app/team.example/v1/evil/Evil": Executable(f"#!/bin/sh\ntouch {mark}\n"),
    }
    assert "external plugins disabled" in refused(lambda: workshop.rendered(files))
    assert not mark.exists()


@pytest.mark.parametrize(
    "more",
    [
        "secretGenerator:\n- {name: s, literals: [password=hunter2, again], behavior: wrong}\n",
        "secretGenerator:\n- {name: s, env: s.env, files: [missing.txt]}\n",
        "secretGenerator:\n- {name: s, literals: [hunter2]}\n",
        "secretGenerator:\n- {name: s, literals: [a=hunter2], type: 5}\n",
        "patches:\n- patch: 'kind: Secret {stringData: {password: hunter2}}'\n",
        "patches:\n- patch: |\n    kind: Secret\n    stringData: {password: hunter2}\n",
        "generators:\n- '{apiVersion: builtin, kind: SecretGenerator, metadata: {name: s}, "
        "literals: [a=hunter2], files: [missing.txt]}'\n",
        "generators:\n- '{apiVersion: builtin, kind: SecretGenerator, metadata: {name: s}, "
        "literals: [hunter2]}'\n",
    ],
)
def test_an_error_never_tells_the_data_of_a_secret(workshop: Workshop, more: str) -> None:
    files = {
        "app/kustomization.yaml": kustomization("web.yaml", more=more),
        "app/web.yaml": configmap("web"),
        "app/s.env": "password=hunter2\n",
    }
    told = refused(lambda: workshop.rendered(files))
    assert "hunter2" not in told
    assert told.startswith("app/kustomization.yaml: kustomize: ")
    assert len(told) > len("app/kustomization.yaml: kustomize: ") + 10


def test_an_error_names_files_as_the_repository_does(workshop: Workshop, tmp_path: Path) -> None:
    files = {"app/kustomization.yaml": kustomization("../base/missing.yaml", "web.yaml")}
    told = refused(lambda: workshop.rendered(files))
    assert str(tmp_path) not in told
    assert "render-" not in told
    assert "repo/" not in told
    assert "base/missing.yaml" in told

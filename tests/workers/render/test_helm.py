"""A Helm chart in a real repository becomes the manifests that helm gives; nothing leaves the repository."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.chartserver import ChartServer
from devcluster.gitserver import Repository, Symlink
from mooring.errors import GitRefused, MooringError, Refused, RemoteFailed, RemoteRefused, RenderFailed
from mooring.model.spec import Source
from mooring.settings import Settings
from workers.git.credentials import Credential
from workers.git.tree import TreeReader
from workers.remote.remotes import Remotes
from workers.render.files import Files, Limits, Tree
from workers.render.readset import COMMIT
from workers.render.render import render
from workers.render.source import App, Capabilities, Job, Nothing, Parameters, Rendered

pytestmark = pytest.mark.usefixtures("tools")

Content = dict[str, Any]
Render = Callable[..., Rendered]

CHART = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
CONFIG = """apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data:
  text: {{ .Values.text | default "none" | quote }}
"""


@dataclass
class Hosts(Nothing):
    """Charts of a repository, and single files, each as a Git tree."""

    charts: dict[str, tuple[Tree, str, str] | MooringError] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def chart(self, repo_url: str, chart: str, revision: str) -> tuple[Tree, str, str]:
        self.asked.append(f"{repo_url} {chart} {revision}")
        found = self.charts[chart]
        if isinstance(found, MooringError):
            raise found
        return found

    def file(self, url: str) -> tuple[bytes, str]:
        self.asked.append(url)
        if url not in self.files:
            raise RenderFailed(f"{url}: this host is not permitted")
        return self.files[url], hashlib.sha256(self.files[url]).hexdigest()


@pytest.fixture
def tree(git_repo: Repository, tmp_path: Path) -> Iterator[TreeReader]:
    reader = TreeReader(git_repo.path, tmp_path / "doubt")
    yield reader
    reader.close()


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture
def rendered(git_repo: Repository, tree: TreeReader, hosts: Hosts, tmp_path: Path) -> Render:
    parameters = Parameters(capabilities=lambda: Capabilities("1.33.1", ("v1", "apps/v1")), scratch=tmp_path)

    def rendering(
        files: Content, helm: dict[str, Any] | None = None, *, app: str = "shop", **changed: Any
    ) -> Rendered:
        commit = git_repo.commit({"app/Chart.yaml": CHART, "app/templates/config.yaml": CONFIG, **files})
        spec = Source.model_validate(
            {"repoURL": git_repo.url, "path": "app", "helm": helm or {"version": "v3"}}
        )
        asked = replace(parameters, **changed)
        return render([Job(App(app), spec, Files(tree, commit, asked.limits), hosts, asked)])

    return rendering


def text(rendered: Rendered) -> str:
    return str(rendered.manifests[0].body["data"]["text"])


def paths(rendered: Rendered) -> dict[str, str | None]:
    return dict(rendered.read_sets[0].paths)


# --- what is read ---------------------------------------------------------------------------------
def test_the_chart_is_read_as_a_whole_and_nothing_beside_it(rendered: Render) -> None:
    found = rendered({"other/values.yaml": "text: other\n"})
    assert "app" in paths(found)
    assert not any(path.startswith("other") for path in paths(found))
    assert found.kinds == ("Helm",)


def test_value_files_are_read_present_or_absent(rendered: Render) -> None:
    helm = {"valueFiles": ["../prod.yaml", "../absent.yaml"], "ignoreMissingValueFiles": True}
    found = rendered({"prod.yaml": "text: prod\n"}, helm)
    assert text(found) == "prod"
    assert paths(found)["prod.yaml"] and paths(found)["absent.yaml"] is None


def test_values_of_another_source_are_in_that_sources_read_set(
    git_repo: Repository, tree: TreeReader, tmp_path: Path
) -> None:
    commit = git_repo.commit(
        {
            "app/Chart.yaml": CHART,
            "app/templates/config.yaml": CONFIG,
            "values/shop.yaml": "text: referred\n",
            "values/given.txt": "given",
        }
    )
    parameters = Parameters(scratch=tmp_path)
    helm = {
        "valueFiles": ["$values/values/$ARGOCD_APP_NAME.yaml"],
        "fileParameters": [{"name": "given", "path": "$values/values/given.txt"}],
    }
    chart = Source.model_validate({"repoURL": git_repo.url, "path": "app", "helm": helm})
    values = Source.model_validate({"repoURL": git_repo.url, "ref": "values"})
    seen = Files(tree, commit)
    found = render(
        [
            Job(App("shop"), chart, Files(tree, commit), Nothing(), parameters, {"values": seen}),
            Job(App("shop"), values, seen, Nothing(), parameters),
        ]
    )
    assert text(found) == "referred"
    assert found.kinds == ("Helm", "")
    assert {path for path, _ in found.read_sets[1].paths} == {"values/shop.yaml", "values/given.txt"}
    assert "values/shop.yaml" not in paths(found)


def test_a_ref_that_no_source_has_is_told_with_the_refs_that_there_are(rendered: Render) -> None:
    with pytest.raises(RenderFailed) as refused:
        rendered({"shop.yaml": "text: a\n"}, {"valueFiles": ["$valeus/shop.yaml"]})
    assert str(refused.value) == (
        "spec.source.helm.valueFiles: $valeus/shop.yaml: no source of this app has this ref; the refs that "
        "there are: none"
    )


def test_a_value_file_that_is_not_there_is_told_as_it_is_named(rendered: Render) -> None:
    with pytest.raises(RenderFailed) as refused:
        rendered({}, {"valueFiles": ["/prd.yaml"]})
    assert str(refused.value).startswith("prd.yaml: value file does not exist at commit ")
    assert str(refused.value).endswith("(spec.source.helm.valueFiles: /prd.yaml)")


def test_the_key_knows_options_cluster_and_build_environment(rendered: Render) -> None:
    def key(helm: dict[str, Any], **changed: Any) -> str:
        return str(rendered({"shop.yaml": "", "bazaar.yaml": ""}, helm, **changed).read_sets[0].inputs)

    named = {"parameters": [{"name": "text", "value": "$ARGOCD_APP_NAME"}], "releaseName": "one"}
    keys = [
        key({}),
        key({"values": "text: a"}),
        key({"releaseName": "other"}),
        key({"skipCrds": True}),
        key({}, capabilities=lambda: Capabilities("1.34.0", ("v1", "apps/v1"))),
        key({}, capabilities=lambda: Capabilities("1.33.1", ("v1",))),
        key(named),
        key(named, app="bazaar"),
    ]
    assert len(set(keys)) == len(keys)
    assert key({}) == keys[0]


# --- values ---------------------------------------------------------------------------------------
def test_a_parameter_that_names_the_revision_is_another_render_at_each_commit(rendered: Render) -> None:
    def reads(value: str) -> dict[str, str | None]:
        return paths(rendered({}, {"parameters": [{"name": "a", "value": value}]}))

    assert COMMIT not in reads("$ARGOCD_APP_NAME")
    assert len(reads("at-$ARGOCD_APP_REVISION_SHORT")[COMMIT] or "") == 40


def test_values_are_fetched_from_where_they_may_be(rendered: Render, hosts: Hosts) -> None:
    url = "https://values.example/shop.yaml"
    hosts.files[url] = b"text: fetched\n"
    found = rendered({}, {"valueFiles": ["https://values.example/$ARGOCD_APP_NAME.yaml"]})
    assert text(found) == "fetched"
    assert dict(found.read_sets[0].remotes) == {f"file {url}": hashlib.sha256(hosts.files[url]).hexdigest()}


def test_a_name_that_is_too_long_for_helm_is_told_with_what_to_set(rendered: Render) -> None:
    with pytest.raises(RenderFailed, match=r"longer than 53 characters: set a shorter .*releaseName"):
        rendered({}, app="a" * 54)
    assert rendered({}, {"releaseName": "short"}, app="a" * 54).manifests[0].key.name == "short"


def test_charts_of_helm_2_are_refused(rendered: Render) -> None:
    assert rendered({}, {"version": "v3"}).manifests
    with pytest.raises(RenderFailed, match="'v2' is not supported"):
        rendered({}, {"version": "v2"})


# --- what is told ---------------------------------------------------------------------------------
def test_manifests_say_which_template_they_are_of(rendered: Render) -> None:
    extra = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sub}\n"
    found = rendered({"app/charts/sub/Chart.yaml": CHART, "app/charts/sub/templates/x.yaml": extra})
    assert {manifest.path for manifest in found.manifests} == {
        "app/templates/config.yaml",
        "app/charts/web/templates/x.yaml",
    }


def test_manifests_know_their_line_in_the_template_where_it_can_be_known(rendered: Render) -> None:
    template = """{{- if true }}
# settings
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
---
apiVersion: v1
kind: Secret
metadata: {name: two}
{{- end }}
{{- range until 2 }}
---
apiVersion: {{ "v1" }}
kind: Service
metadata: {name: "service-{{ . }}"}
{{- end }}
"""
    found = rendered({"app/templates/config.yaml": template})
    lines = {manifest.key.name: manifest.line for manifest in found.manifests}
    assert lines == {"one": 3, "two": 7, "service-0": 1, "service-1": 1}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"app/templates/x.yaml": 'a: b\nx: {{ required "give a text" .Values.absent }}\n'},
            "app/templates/x.yaml:2: helm: execution error at (web/templates/x.yaml:2:6): give a text",
        ),
        ({"app/templates/x.yaml": "{{ if }}"}, "app/templates/x.yaml:1: helm: parse error at "),
        ({"app/templates/x.yaml": "a: b: c"}, "app/templates/x.yaml: helm: YAML parse error on "),
        ({"app/values.yaml": "a: 1\nb: [1\nc: 2\n"}, "app/values.yaml:2: helm: cannot load values.yaml"),
        ({"app/templates/x.yaml": "kind: ConfigMap"}, "app/templates/x.yaml:1: apiVersion is missing"),
        ({"app/Chart.yaml": "name: ["}, "app/Chart.yaml:2: is not YAML"),
        ({"app/Chart.yaml": "name: web"}, "app: helm: validation: chart.metadata.version is required"),
        ({"app/Chart.yaml": None}, "app/Chart.yaml: there is no Chart.yaml: this is no Helm chart"),
    ],
)
def test_an_error_is_one_line_that_names_the_file_and_says_what_helm_says(
    rendered: Render, tmp_path: Path, files: Content, message: str
) -> None:
    with pytest.raises(RenderFailed) as caught:
        rendered(files)
    assert str(caught.value).startswith(message)
    assert str(tmp_path) not in str(caught.value)
    assert "--debug" not in str(caught.value)


def test_a_broken_value_file_is_named_as_the_application_names_it(rendered: Render) -> None:
    with pytest.raises(RenderFailed, match=r"^prod\.yaml:2: helm: failed to parse prod\.yaml"):
        rendered({"prod.yaml": "a: 1\n  b: 2\n"}, {"valueFiles": ["../prod.yaml"]})


def test_lookup_finds_nothing_and_says_so_once(rendered: Render) -> None:
    looking = '{{ if not (lookup "v1" "Secret" "a" "b") }}{{ end }}'
    found = rendered({"app/templates/a.tpl": looking, "app/templates/b.tpl": looking})
    [warning] = found.warnings
    assert warning.startswith("app: templates call `lookup`, which finds nothing")
    assert not found.pure


@pytest.mark.parametrize(
    "where", ["app/templates/_a.tpl", "app/charts/sub/templates/_a.tpl", "app/values.yaml", "prod.yaml"]
)
@pytest.mark.parametrize(
    "call", ["randAlphaNum 8", "genCA `a` 1", "now | unixEpoch", '"x" | bcrypt', "uuidv4", "keys .Values"]
)
def test_what_may_be_another_thing_next_time_is_not_pure(rendered: Render, where: str, call: str) -> None:
    line = (
        f"x: '{{{{ {call} }}}}'"
        if where.endswith(".yaml")
        else f'{{{{ define "x" }}}}{{{{ {call} }}}}{{{{ end }}}}'
    )
    found = rendered(
        {"app/charts/sub/Chart.yaml": CHART.replace("web", "sub"), "prod.yaml": "", where: line},
        {"valueFiles": ["../prod.yaml"]},
    )
    assert not found.pure


def test_what_was_drawn_is_kept_whatever_the_cluster_serves_until_more_is_given(rendered: Render) -> None:
    drawing = {"app/templates/config.yaml": CONFIG.replace(".Values.text", "randAlphaNum 20")}
    first, second = rendered(drawing), rendered(drawing)
    assert text(first) != text(second)
    newer = rendered(drawing, capabilities=lambda: Capabilities("1.34.0", ("v1", "apps/v1", "new/v1")))
    assert newer.read_sets != first.read_sets, "it is rendered anew"
    for other in (second, newer):
        assert text(other.with_drawn(first.drawn)) == text(first)
    for other in (rendered({**drawing, "app/values.yaml": "a: 1\n"}), rendered(drawing, app="other")):
        assert text(other.with_drawn(first.drawn)) == text(other) != text(first)
    asked = rendered(drawing, {"version": "v3", "parameters": [{"name": "a", "value": "1"}]})
    assert text(asked.with_drawn(first.drawn)) == text(asked) != text(first)


def test_a_chart_that_only_speaks_of_such_things_is_pure(rendered: Render) -> None:
    comment = "# now randAlphaNum 8\n{{/* lookup keys */}}{{- $x := .Values.keys }}{{ .Values.now.date }}\n"
    found = rendered({"app/templates/_a.tpl": comment, "app/values.yaml": "now: {}\n"})
    assert found.pure and not found.warnings


@pytest.mark.parametrize(
    "path", ["web/../../../../../etc/passwd", "web//etc/passwd", "web//proc/kcore", "web"]
)
def test_a_comment_that_names_a_file_elsewhere_leads_to_none(rendered: Render, path: str) -> None:
    crd = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.org}
"""
    found = rendered({"app/crds/x.yaml": f"{crd}---\n# Source: {path}\n{crd.replace('boats', 'ships')}"})
    assert {manifest.line for manifest in found.manifests} == {1}


# --- dependencies ---------------------------------------------------------------------------------
DEPENDING = CHART + 'dependencies: [{name: cache, version: 1.x, repository: "https://charts.example"}]\n'
LOCK = """dependencies: [{name: cache, repository: "https://charts.example", version: 1.4.2}]
digest: sha256:%s
generated: "2026-01-01T00:00:00Z"
"""


@pytest.fixture
def cache(git_repo: Repository, tree: TreeReader, hosts: Hosts) -> str:
    """A chart in a repository elsewhere; the digest of its archive."""
    commit = git_repo.commit(
        {
            "Chart.yaml": "apiVersion: v2\nname: cache\nversion: 1.4.2\n",
            "templates/c.yaml": CONFIG.replace("Release.Name", "Chart.Name"),
        },
        parent="",
        branch="cache",
    )
    hosts.charts["cache"] = (tree, "1.4.2", commit)
    return commit


def test_a_missing_dependency_is_fetched_in_the_range_that_is_declared(
    rendered: Render, hosts: Hosts, cache: str
) -> None:
    found = rendered({"app/Chart.yaml": DEPENDING, "app/values.yaml": "cache: {text: mine}\n"})
    assert {m.key.name: m.body["data"]["text"] for m in found.manifests} == {"shop": "none", "cache": "mine"}
    assert hosts.asked == ["https://charts.example cache 1.x"]
    assert dict(found.read_sets[0].remotes) == {"chart https://charts.example cache 1.x": cache}


def test_a_lock_that_is_not_of_what_is_declared_is_refused(
    rendered: Render, hosts: Hosts, cache: str
) -> None:
    with pytest.raises(RenderFailed, match=r"app/Chart\.lock: does not fit .* run `helm dependency update`"):
        rendered({"app/Chart.yaml": DEPENDING, "app/Chart.lock": LOCK % "4e7b0e3d5b3f3f1b"})
    assert hosts.asked == []


@dataclass
class Network(Nothing):
    """Charts as they are really fetched."""

    remotes: Remotes

    def chart(self, repo_url: str, chart: str, revision: str) -> tuple[Tree, str, str]:
        found = self.remotes.chart(repo_url, chart, revision, Credential(), trusted=True)
        return self.remotes.tree(found, Credential()), found.version, found.digest


@pytest.mark.parametrize("locked", [True, False])
def test_what_helm_would_fetch_is_fetched_in_the_version_of_the_lock_else_the_newest(
    git_repo: Repository, tree: TreeReader, tools: Path, tmp_path: Path, locked: bool
) -> None:
    named = {"templates/c.yaml": CONFIG.replace("Release.Name", "Chart.Version")}
    work = tmp_path / "work"
    (work / "templates").mkdir(parents=True)
    with ChartServer() as charts:

        def helm(*words: str) -> str:
            argv = [str(tools / "helm"), *words]
            environ = {"HOME": str(tmp_path / "home"), "PATH": os.defpath}
            done = subprocess.run(argv, cwd=work, env=environ, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        charts.chart("cache", "1.4.2", named)
        charts.chart("cache", "2.0.0", named)
        charts.index()
        text = DEPENDING.replace("https://charts.example", charts.url)
        (work / "Chart.yaml").write_text(text)
        (work / "templates" / "config.yaml").write_text(CONFIG)
        helm("dependency", "update")
        files = {"Chart.yaml": text, "templates/config.yaml": CONFIG}
        if locked:
            files["Chart.lock"] = (work / "Chart.lock").read_text()
        else:
            (work / "Chart.lock").unlink()
        charts.chart("cache", "1.5.0", named)
        charts.index()
        commit = git_repo.commit(files, parent="", branch="charted")

        spec = Source.model_validate({"repoURL": git_repo.url, "path": ".", "helm": {}})
        fetch = Network(Remotes(tmp_path / "state", Settings()))
        found = render([Job(App("shop"), spec, Files(tree, commit), fetch, Parameters(scratch=tmp_path))])

        helm("repo", "add", "here", charts.url)
        helm("dependency", "build")
        printed = yaml.safe_load_all(helm("template", "shop", "."))
    assert sorted(m.key.name for m in found.manifests) == sorted(each["metadata"]["name"] for each in printed)
    assert ("1.4.2" if locked else "1.5.0") in {m.key.name for m in found.manifests}


@pytest.mark.parametrize("error", [RemoteFailed("charts.example: no such host"), RemoteRefused("no chart")])
def test_a_dependency_that_does_not_come_is_named_and_is_asked_for_again_as_any_other(
    rendered: Render, hosts: Hosts, error: MooringError
) -> None:
    hosts.charts["cache"] = error
    with pytest.raises(type(error)) as told:
        rendered({"app/Chart.yaml": DEPENDING})
    assert str(told.value) == f"app/Chart.yaml: dependency cache: {error}"


def test_a_vendored_dependency_is_not_fetched(rendered: Render, hosts: Hosts) -> None:
    vendored = {"app/charts/any/Chart.yaml": "apiVersion: v2\nname: cache\nversion: 9.0.0\n"}
    assert rendered({"app/Chart.yaml": DEPENDING, **vendored}).manifests
    assert hosts.asked == []


def test_dependencies_of_helm_2_are_those_of_requirements_yaml(
    rendered: Render, hosts: Hosts, cache: str
) -> None:
    old = {
        "app/Chart.yaml": CHART.replace("v2", "v1"),
        "app/requirements.yaml": DEPENDING.removeprefix(CHART),
    }
    assert {m.key.name for m in rendered(old).manifests} == {"shop", "cache"}


@pytest.mark.parametrize(
    "repository", ["file:///etc", "file://../..", "file://../../etc", "file://../absent"]
)
def test_a_local_dependency_is_one_of_the_repository(rendered: Render, repository: str) -> None:
    chart = CHART + f'dependencies: [{{name: cache, version: 1.x, repository: "{repository}"}}]\n'
    with pytest.raises(
        RenderFailed, match=r"app/Chart\.yaml: dependency cache: .*(leads out|no such directory)"
    ):
        rendered({"app/Chart.yaml": chart})


# --- attacks --------------------------------------------------------------------------------------
OUTSIDE = [
    "../../etc/passwd",
    "../../../../../../etc/passwd",
    "/../etc/passwd",
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "ftp://127.0.0.1/x",
    "oci://127.0.0.1/x",
    "..",
    "",
    "link.yaml",
    "up/etc/passwd",
]
LINKS = {"app/link.yaml": Symlink("/etc/passwd"), "app/up": Symlink("../..")}


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("option", ["valueFiles", "fileParameters"])
def test_no_value_comes_from_outside_of_the_repository(rendered: Render, option: str, path: str) -> None:
    given = path if option == "valueFiles" else {"name": "text", "path": path}
    with pytest.raises(Refused, match=r"leads? out of the repository|can only be http|is no file"):
        rendered({**LINKS, "app/link.yaml": Symlink("/etc/passwd")}, {option: [given]})


def test_an_absolute_path_is_one_of_the_repository(rendered: Render) -> None:
    with pytest.raises(RenderFailed, match="etc/passwd: value file does not exist"):
        rendered({}, {"valueFiles": ["/etc/passwd"]})
    assert text(rendered({"etc/passwd": "text: ours\n"}, {"valueFiles": ["/etc/passwd"]})) == "ours"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/v.yaml", "http://169.254.169.254/latest/meta-data"])
def test_a_url_is_fetched_by_us_and_only_where_it_may_be(rendered: Render, hosts: Hosts, url: str) -> None:
    with pytest.raises(RenderFailed, match="this host is not permitted"):
        rendered({}, {"valueFiles": [url]})
    assert hosts.asked == [url]


@pytest.mark.parametrize(
    "link",
    [
        "app/Chart.lock",
        "app/charts",
        "app/values.yaml",
        "app/templates/x.yaml",
        "app/Chart.yaml",
        "app/deep/x",
    ],
)
@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../../../../etc"])
def test_a_link_in_the_chart_that_leads_out_of_the_repository_is_refused(
    rendered: Render, link: str, target: str
) -> None:
    with pytest.raises(RenderFailed, match="a symbolic link leads out of the repository"):
        rendered({link: Symlink(target)})


def test_a_pattern_follows_no_link_out_of_the_repository(rendered: Render) -> None:
    with pytest.raises(RenderFailed, match="a symbolic link leads out of the repository"):
        rendered({"env/x.yaml": Symlink("/etc/passwd")}, {"valueFiles": ["../env/*.yaml"]})


def test_a_pattern_that_goes_in_circles_comes_to_an_end(rendered: Render) -> None:
    circles = {"env/again": Symlink(".."), "env/once/more": Symlink("../.."), "env/x.yaml": "text: found"}
    assert text(rendered(circles, {"valueFiles": ["../env/**/x.yaml"]})) == "found"
    doubled = {f"wide/{n}/{side}": Symlink(f"../{n + 1}") for n in range(20) for side in "ab"}
    with pytest.raises(RenderFailed, match="leads through too many directories"):
        rendered({**doubled, "wide/20/x.yaml": ""}, {"valueFiles": ["../wide/0/**/x.yaml"]})


def test_a_chart_cannot_be_above_the_repository(
    git_repo: Repository, tree: TreeReader, tmp_path: Path
) -> None:
    spec = Source.model_validate({"repoURL": git_repo.url, "path": "../..", "helm": {}})
    commit = git_repo.commit({"Chart.yaml": CHART})
    with pytest.raises(GitRefused, match="leads out of the repository"):
        render([Job(App("shop"), spec, Files(tree, commit), Nothing(), Parameters(scratch=tmp_path))])


@pytest.mark.parametrize("name", ["../../secret.txt", "/etc/passwd", "../beside.txt"])
def test_templates_get_no_file_that_is_not_of_their_chart(rendered: Render, name: str) -> None:
    reading = CONFIG.replace('.Values.text | default "none"', f'.Files.Get "{name}" | default "nothing"')
    assert text(rendered({"app/templates/config.yaml": reading, "beside.txt": "seen"})) == "nothing"


@pytest.mark.parametrize(
    "schema",
    [
        '{"$ref": "file:///dev/zero"}',
        '{"$ref": "/dev/zero"}',
        '{"$ref": "file:///etc/passwd"}',
        '{"$ref": "http://127.0.0.1:1/schema.json"}',
        '{"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/a"}}}',
        '{"not": ' * 40_000 + "true" + "}" * 40_000,  # CVE-2025-32387
    ],
    ids=["device", "path", "file", "address", "circle", "depth"],
)
def test_a_schema_leads_to_nothing_else(rendered: Render, schema: str) -> None:
    with pytest.raises(RenderFailed, match="app: helm: ") as caught:
        rendered({"app/values.schema.json": schema}, seconds=30)
    assert "root:" not in str(caught.value)  # nothing of /etc/passwd


@pytest.mark.parametrize(
    "template",
    [
        "{{ range until 2000000000 }}{{ end }}",
        '{{ define "a" }}{{ include "b" . }}{{ end }}{{ define "b" }}{{ include "a" . }}{{ end }}'
        '{{ include "a" . }}',
        '{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}',
        '{{ $x := "xxxxxxxx" }}{{ range until 64 }}{{ $x = printf "%s%s" $x $x }}{{ end }}{{ $x }}',
        '{{ range until 100000 }}{{ range until 100000 }}{{ "" }}{{ end }}{{ end }}',
        '{{ define "t" }}{{ tpl "{{ include \\"t\\" . }}{{ include \\"t\\" . }}" . }}{{ end }}'
        '{{ include "t" . }}',
    ],
)
def test_a_template_without_end_is_ended(rendered: Render, template: str) -> None:
    with pytest.raises(RenderFailed):
        rendered({"app/templates/bomb.yaml": template}, seconds=3)


@pytest.mark.parametrize(
    "template",
    [
        "{{ fail (toYaml .Values) }}",
        "{{ fail (toJson .Values) }}",
        '{{ fail (printf "%v" .Values) }}',
        '{{ fail (printf "of %v" .Values.db.password) }}',
        '{{ fail (printf "of %s" (.Values.db.password | b64enc)) }}',
        '{{ fail (toYaml (dict "kind" "Secret" "stringData" (dict "p" (list "tops" "ecret" | join "")))) }}',
        '{{ fail (printf "%v" (dict "kind" "Secret" "data" (dict "p" (list "tops" "ecret" | join "")))) }}',
    ],
)
@pytest.mark.parametrize("values", ["db:\n  password: topsecret\n", "{db: {password: topsecret}}"])
def test_a_secret_that_a_template_prints_is_not_in_its_error(
    rendered: Render, template: str, values: str
) -> None:
    with pytest.raises(RenderFailed, match=r"^app/templates/x\.yaml:2: ") as caught:
        rendered(
            {"app/templates/x.yaml": f"a:\n{template}", "env.yaml": values}, {"valueFiles": ["../env.yaml"]}
        )
    assert "topsecret" not in str(caught.value)
    assert "dG9wc2VjcmV0" not in str(caught.value)


def test_a_value_that_looks_like_an_option_is_none(rendered: Render) -> None:
    helm = {
        "parameters": [{"name": "text", "value": "--post-renderer=/bin/sh"}],
        "releaseName": "--kubeconfig=/etc/passwd",
    }
    with pytest.raises(RenderFailed, match="release name check failed"):
        rendered({}, helm)
    assert text(rendered({}, {**helm, "releaseName": "shop"})) == "--post-renderer=/bin/sh"


def test_too_large_a_chart_is_not_copied(rendered: Render) -> None:
    with pytest.raises(MooringError, match="larger than 1000 bytes"):
        rendered({"app/data.txt": "x" * 2000}, limits=Limits(copied_bytes=1000))


def test_a_bomb_among_archives_is_not_opened(rendered: Render) -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * (200 << 20)))
    with pytest.raises(RenderFailed, match="helm: "):
        rendered({"app/charts/bomb-1.0.0.tgz": gzip.compress(b"\0" * (200 << 20)), "app/charts/b.tgz": bomb})

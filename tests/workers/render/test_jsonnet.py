"""A Jsonnet program of a stranger: what it cannot read, and what it cannot use up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.errors import MooringError, RenderFailed
from mooring.model.spec import Source
from workers.git.tree import TreeReader
from workers.render.files import Files
from workers.render.readset import COMMIT
from workers.render.render import render
from workers.render.source import App, Job, Nothing, Parameters, Rendered

pytestmark = pytest.mark.usefixtures("tools")
Render = Callable[..., Rendered]


@pytest.fixture
def rendered(git_repo: Repository, tmp_path: Path) -> Iterator[Render]:
    tree = TreeReader(git_repo.path, tmp_path / "doubt")

    def rendering(program: str, seconds: float = 60.0, **jsonnet: Any) -> Rendered:
        commit = git_repo.commit({"app/main.jsonnet": program})
        spec = Source.model_validate(
            {"repoURL": git_repo.url, "path": "app", "directory": {"jsonnet": jsonnet}}
        )
        parameters = Parameters(scratch=tmp_path / "scratch", seconds=seconds)
        return render([Job(App("shop"), spec, Files(tree, commit), Nothing(), parameters)])

    yield rendering
    tree.close()
    assert not [*(tmp_path / "scratch").rglob("*.jsonnet")], "nothing is left behind"


def config(data: str) -> str:
    return f"{{ apiVersion: 'v1', kind: 'ConfigMap', metadata: {{ name: 'x' }}, data: {{ x: {data} }} }}"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            "local r = std.range(1, 1000), over(f) = std.foldl(function(n, i) n + f(i), r, 0); "
            "over(function(a) over(function(b) over(function(c) over(function(d) 1))))",
            "was not evaluated after 2 s: look for a loop, or render less",
        ),
        ("local loop(n) = loop(n + 1) tailstrict; loop(0)", "gave up: stack overflow|look for a loop|memory"),
        ("std.length([x for a in std.range(1, 1e9) for x in [a, a]])", "look for a loop|memory"),
        ("local f(s) = f(s + s) tailstrict; f('0123456789')", "look for a loop|memory"),
        (
            "local d(s, n) = if n == 0 then s else d(s + s, n - 1); " + config("d('0123456789', 21)"),
            "printed more than 10 MiB",
        ),
        (
            f"[{config('i')} for i in std.range(1, 1000000)]",
            "printed more than 10 MiB|look for a loop|memory",
        ),
        ("local f(x) = { a: f(x) }; f(1)", "max stack frames exceeded"),
        ("local f(n) = 1 + f(n); f(1)", "max stack frames exceeded"),
        ("{ a: self.a }", "max stack frames exceeded"),
        ("std.foldl(function(all, n) { a: all }, std.range(1, 10000), {})", "max stack frames exceeded"),
        (f"local l = import 'main.jsonnet'; l + {config('1')}", "cycle|max stack frames exceeded"),
        ("std.parseJson('[' * 100000)", "main.jsonnet"),
        ("std.parseYaml(std.repeat('[', 100000))", "main.jsonnet"),
        ("[" * 100_000, "main.jsonnet"),
        ("std.native('exec')('id')", "main.jsonnet"),
    ],
    ids=lambda text: text[:30],
)
def test_what_has_no_end_is_ended_and_said_on_one_line(rendered: Render, program: str, message: str) -> None:
    with pytest.raises(RenderFailed, match=message) as caught:
        rendered(program, seconds=2.0)
    assert str(caught.value).startswith("app/main.jsonnet")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


def test_a_program_learns_nothing_of_its_worker(
    rendered: Render, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CANARY", "of the worker")
    monkeypatch.setenv("JSONNET_PATH", str(tmp_path))
    (tmp_path / "outside.libsonnet").write_text(config("'outside'"))
    variable = {"name": "CANARY", "value": ""}
    (manifest,) = rendered(config("std.extVar('CANARY')"), extVars=[variable]).manifests
    assert manifest.body["data"] == {"x": ""}
    with pytest.raises(RenderFailed, match=r"app/main\.jsonnet:1: couldn't open import"):
        rendered("import 'outside.libsonnet'")
    (manifest,) = rendered(config("std.thisFile")).manifests
    assert manifest.body["data"] == {"x": "app/main.jsonnet"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"libs": ["../lib"]}, r"'\.\./lib' leads out of the repository"),
        ({"extVars": [{"name": "a=b", "value": "1"}]}, r"jsonnet\.extVars: 'a=b' cannot be passed on"),
        ({"extVars": [{"name": "-x", "value": "1"}]}, r"jsonnet\.extVars: '-x' cannot be passed on"),
        ({"tlas": [{"name": "", "value": "1"}]}, r"jsonnet\.tlas: '' cannot be passed on"),
        ({"tlas": [{"name": "x", "value": "a\0b"}]}, r"jsonnet\.tlas: 'x' cannot be passed on"),
        (
            {"extVars": [{"name": "x", "value": "importstr '/etc/passwd'", "code": True}]},
            "leads out of the rep",
        ),
        ({"tlas": [{"name": "x", "value": "import '../x'", "code": True}]}, "leads out of the repository"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_parameters_that_cannot_be_or_lead_out_are_refused(
    rendered: Render, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(MooringError, match=message):
        rendered(config("'1'"), **options)


def test_a_lib_may_be_given_from_the_root_and_names_like_options_are_names(
    rendered: Render, git_repo: Repository
) -> None:
    git_repo.commit({"-help/x.libsonnet": "{ y: 'found' }", "app/-m": "'too'"})
    variables = [{"name": "a", "value": "-1=x"}, {"name": "b", "value": "--"}]
    program = config("(import 'x.libsonnet').y + (import '-m') + std.extVar('a') + std.extVar('b')")
    (manifest,) = rendered(program, libs=["/-help"], extVars=variables).manifests
    assert manifest.body["data"] == {"x": "foundtoo-1=x--"}


def test_a_program_that_names_the_revision_is_another_render_at_each_commit(rendered: Render) -> None:
    same = rendered(config("std.extVar('a')"), extVars=[{"name": "a", "value": "$ARGOCD_APP_NAME"}])
    other = rendered(config("std.extVar('a')"), extVars=[{"name": "a", "value": "$ARGOCD_APP_REVISION"}])
    assert COMMIT not in dict(same.read_sets[0].paths)
    assert dict(other.read_sets[0].paths)[COMMIT]
    assert len(other.manifests[0].body["data"]["x"]) == 40


def test_without_the_evaluator_only_jsonnet_is_refused(
    rendered: Render, git_repo: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(RenderFailed, match="jsonnet is not on PATH: install it where the workers run"):
        rendered("{}")
    git_repo.commit({"app/main.jsonnet": None})
    assert rendered("# +argocd:skip-file-rendering").manifests == ()


_SECRET = "{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db' }, stringData: { p: %s } }"


@pytest.mark.parametrize(
    "program",
    [
        "local s = %s; std.assertEqual(s, {})",
        "local s = %s; std.assertEqual(s.stringData, {})",
        "local s = %s; std.assertEqual(s.stringData.p, 'x')",
        "local s = %s; error std.toString(s)",
        "local s = %s; error 'no sense: ' + s",
        "local s = %s; error std.toString([s.stringData])",
        "local s = %s; error std.manifestYamlDoc(s)",
        "local s = %s; error std.manifestYamlDoc(s, quote_keys=false)",
        "local s = %s; error std.manifestJsonEx(s, '\\t')",
        "local s = %s; assert false : std.toString(s); s",
    ],
)
@pytest.mark.parametrize("value", ["'topsecret'", "std.join('', ['tops', 'ecret'])"])
def test_a_secret_that_a_program_prints_is_not_in_its_error(
    rendered: Render, program: str, value: str
) -> None:
    with pytest.raises(RenderFailed, match=r"^app/main\.jsonnet:1: ") as caught:
        rendered(program % (_SECRET % value))
    assert "topsecret" not in str(caught.value)


def test_what_a_program_says_in_its_own_words_is_told(rendered: Render) -> None:
    with pytest.raises(RenderFailed, match=r"^app/main\.jsonnet:2: replicas must be set$"):
        rendered("local check(n) =\n  if n == null then error 'replicas must be set';\ncheck(null)")

"""What Argo CD runs in a sidecar runs here as a confined child, and makes the same manifests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.gitserver import Content, Executable, Repository
from mooring.errors import RenderExceeded, RenderFailed
from mooring.model.spec import Source
from workers.confine.mode import mode
from workers.git.tree import TreeReader
from workers.metrics import RENDERS
from workers.render.cache import Cache
from workers.render.files import Files
from workers.render.render import plainly, render
from workers.render.source import App, Capabilities, Job, Nothing, Parameters, Rendered, Through

pytestmark = pytest.mark.skipif(not mode().strong, reason="nothing here would confine a plugin")

# The environment as a ConfigMap, in a language that every system has.
_TELL = """
printf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: told}\\ndata:\\n'
env | sort | while IFS='=' read -r name value; do
  printf "  %s: '%s'\\n" "$name" "$(printf %s "$value" | tr "'" '~')"
done
"""
_CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


class Operator:
    """Somebody who installs plugins beside the worker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def installs(self, name: str, files: dict[str, str] | None = None, **told: Any) -> None:
        place = self.directory / name
        place.mkdir()
        version = told.pop("version", "")
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "ConfigManagementPlugin",
            "metadata": {"name": name},
            "spec": {"version": version, **told},
        }
        (place / "plugin.yaml").write_text(yaml.safe_dump(body))
        for path, text in (files or {}).items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text)
            (place / path).chmod(0o755)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path / "plugins")


Renders = Callable[..., Rendered]


@pytest.fixture
def renders(git_repo: Repository, operator: Operator, tmp_path: Path) -> Iterator[Renders]:
    reader = TreeReader(git_repo.path, tmp_path / "doubt")
    commits: list[str] = []

    def rendering(
        files: dict[str, Content],
        path: str = "app",
        through: Through = plainly,
        seconds: float = 60.0,
        **source: Any,
    ) -> Rendered:
        parameters = Parameters(
            scratch=tmp_path / "state",
            seconds=seconds,
            plugins=operator.directory,
            capabilities=lambda: Capabilities("1.33.1", ("v1", "apps/v1")),
        )
        spec = Source.model_validate({"repoURL": git_repo.url, "path": path, **source})
        if files:  # else the same commit once more
            commits.append(git_repo.commit(files, parent="", date="1700000000 +0000"))
        of = Files(reader, commits[-1])
        return render([Job(App("shop", "argocd", "team", "prod"), spec, of, Nothing(), parameters)], through)

    yield rendering
    reader.close()


def names(rendered: Rendered) -> list[str]:
    return [manifest.key.name for manifest in rendered.manifests]


FILES: dict[str, Content] = {
    "app/a.yaml": _CONFIG % "a",
    "app/deep/b.txt": "b",
    "other/c.yaml": _CONFIG % "c",
}


def test_what_a_plugin_prints_is_deployed(operator: Operator, renders: Renders) -> None:
    operator.installs(
        "printer",
        init={"command": ["sh"], "args": ["-c", "echo some words; cp ../other/c.yaml made.yaml"]},
        generate={"command": ["cat", "a.yaml"], "args": ["made.yaml"]},
    )
    rendered = renders({**FILES, "app/a.yaml": _CONFIG % "a" + "---\n"}, plugin={"name": "printer"})
    assert names(rendered) == ["a", "c"]
    assert rendered.kinds == ("Plugin",)
    assert rendered.manifests[0].where == "output of plugin printer:1"


def test_what_it_reads_cannot_be_told_so_it_depends_on_everything(
    operator: Operator, renders: Renders
) -> None:
    operator.installs("printer", generate={"command": ["cat", "a.yaml"]})
    rendered = renders(FILES, plugin={"name": "printer"})
    assert dict(rendered.read_sets[0].paths)[""]
    assert not rendered.pure
    again = renders(FILES, plugin={"name": "printer"})
    assert again.read_sets[0].key == rendered.read_sets[0].key
    (operator.directory / "printer" / "tool").write_text("a new edition")
    assert renders(FILES, plugin={"name": "printer"}).read_sets[0].key != rendered.read_sets[0].key


def test_a_plugin_is_told_what_argo_cd_tells_it(
    operator: Operator, renders: Renders, git_repo: Repository
) -> None:
    operator.installs("teller", files={"tell.sh": _TELL}, generate={"command": ["sh", "-c", _TELL]})
    told = renders(
        FILES,
        plugin={
            "name": "teller",
            "env": [
                {"name": "REV", "value": "at-$ARGOCD_APP_REVISION_SHORT"},
                {"name": "EMPTY", "value": "$NOBODY"},
                {"name": "COST", "value": "$$5"},
            ],
            "parameters": [
                {"name": "values-files", "array": ["a.yaml", "b.yaml"]},
                {"name": "image.tag", "string": "v1"},
                {"name": "labels", "map": {"app.kubernetes.io/name": "x"}},
            ],
        },
    )
    data = told.manifests[0].body["data"]
    commit = git_repo.resolve()
    assert commit is not None
    parameters = json.loads(data.pop("ARGOCD_APP_PARAMETERS"))
    assert parameters == [
        {"name": "values-files", "array": ["a.yaml", "b.yaml"]},
        {"name": "image.tag", "string": "v1"},
        {"name": "labels", "map": {"app.kubernetes.io/name": "x"}},
    ]
    plugin = operator.directory / "teller"
    assert data.pop("PATH").startswith(f"{plugin}:{plugin}/bin:")
    assert {name for name in data if not name.startswith(("ARGOCD_", "PARAM_", "KUBE_"))} <= {
        *("HOME", "TMPDIR", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_")
    }
    assert {
        name: value for name, value in data.items() if name.startswith(("ARGOCD_", "PARAM_", "KUBE_"))
    } == {
        "ARGOCD_APP_NAME": "shop",
        "ARGOCD_APP_NAMESPACE": "prod",
        "ARGOCD_APP_PROJECT_NAME": "team",
        "ARGOCD_APP_REVISION": commit,
        "ARGOCD_APP_REVISION_SHORT": commit[:7],
        "ARGOCD_APP_REVISION_SHORT_8": commit[:8],
        "ARGOCD_APP_SOURCE_PATH": "app",
        "ARGOCD_APP_SOURCE_REPO_URL": git_repo.url,
        "ARGOCD_ENV_REV": f"at-{commit[:7]}",
        "ARGOCD_ENV_COST": "$5",
        "KUBE_VERSION": "1.33.1",
        "KUBE_API_VERSIONS": "v1,apps/v1",
        "PARAM_VALUES_FILES_0": "a.yaml",
        "PARAM_VALUES_FILES_1": "b.yaml",
        "PARAM_IMAGE_TAG": "v1",
        "PARAM_LABELS_APP_KUBERNETES_IO_NAME": "x",
    }


def test_a_version_is_part_of_the_name(operator: Operator, renders: Renders) -> None:
    operator.installs("printer", version="v1.0", generate={"command": ["cat", "a.yaml"]})
    assert names(renders(FILES, plugin={"name": "printer-v1.0"})) == ["a"]
    with pytest.raises(RenderFailed, match=r"no plugin printer: installed are printer-v1.0$"):
        renders(FILES, plugin={"name": "printer"})


@pytest.mark.parametrize(
    ("discover", "files", "found"),
    [
        ({"fileName": "a.yaml"}, {}, True),
        ({"fileName": "./deep/*.txt"}, {}, True),
        ({"fileName": "*.txt"}, {}, False),
        ({"fileName": "**/b.txt"}, {"app/deep/er/b.txt": ""}, True),
        ({"fileName": "[a-c].yaml"}, {}, True),
        ({"fileName": "c.yaml"}, {}, False),
        ({"find": {"glob": "**/b.txt"}}, {}, True),
        ({"find": {"glob": "**/a.yaml"}}, {}, True),
        ({"find": {"glob": "**/*.json"}}, {}, False),
        ({"find": {"glob": "**/c.yaml"}}, {}, False),
        ({"find": {"command": ["sh", "-c", "find . -name b.txt"]}}, {}, True),
        ({"find": {"command": ["sh"], "args": ["-c", "find . -name c.yaml"]}}, {}, False),
        ({"find": {"command": ["sh", "-c", "echo found; exit 1"]}}, {}, False),
        ({"fileName": "none", "find": {"glob": "**"}}, {}, False),
        ({}, {}, False),
    ],
)
def test_a_plugin_finds_its_sources_by_its_rules(
    operator: Operator, renders: Renders, discover: dict[str, Any], files: dict[str, Content], found: bool
) -> None:
    operator.installs("printer", discover=discover, generate={"command": ["sh", "-c", "cat ../other/c.yaml"]})
    assert names(renders({**FILES, **files})) == (["c"] if found else ["a"])


def test_its_rules_go_before_the_names_of_files_but_not_before_what_the_source_says(
    operator: Operator, renders: Renders
) -> None:
    operator.installs("b", discover={"fileName": "Chart.yaml"}, generate={"command": ["cat", "a.yaml"]})
    operator.installs("c", discover={"fileName": "*"}, generate={"command": ["false"]})
    files = {**FILES, "app/Chart.yaml": "name: x\n"}
    assert names(renders(files)) == ["a"]
    assert names(renders(files, plugin={})) == ["a"]
    assert names(renders(files, directory={"exclude": "Chart.yaml", "recurse": True})) == ["a"]


def test_a_named_plugin_must_take_the_source_where_it_has_rules(operator: Operator, renders: Renders) -> None:
    operator.installs("printer", discover={"fileName": "x*"}, generate={"command": ["cat", "a.yaml"]})
    with pytest.raises(
        RenderFailed, match=r"plugin printer does not take app: its spec.discover finds nothing"
    ):
        renders(FILES, plugin={"name": "printer"})


def test_a_change_of_what_a_rule_looks_for_is_another_key(operator: Operator, renders: Renders) -> None:
    operator.installs("printer", discover={"fileName": "helmfile.yaml"}, generate={"command": ["false"]})
    assert dict(renders(FILES).read_sets[0].paths)["app/helmfile.yaml"] is None


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            {"generate": {"command": ["sh", "-c", "echo no such chart >&2; exit 3"]}},
            r"^plugin bad: generate failed \(exit code 3\): no such chart$",
        ),
        (
            {"init": {"command": ["sh", "-c", "kill -9 $$"]}, "generate": {"command": ["cat", "a.yaml"]}},
            r"^plugin bad: init failed \(signal 9\)$",
        ),
        (
            {"generate": {"command": ["no-such-program"]}},
            "^plugin bad: there is no program no-such-program: ",
        ),
        ({"generate": {"command": ["./a.sh"]}}, r"^plugin bad: there is no program ./a.sh: "),
        ({"generate": {"command": ["echo", "a: {"]}}, "^output of plugin bad:2: "),
        ({"generate": {"command": ["echo", "kind: X"]}}, "^output of plugin bad:1: "),
        ({"generate": {"command": ["echo", "words"]}}, "^output of plugin bad:1: "),
        (
            {"generate": {"command": ["sh", "-c", "while :; do echo aaaaaaaaaaaaaaaaaaaaa; done"]}},
            "printed more",
        ),
        ({"generate": {"command": []}}, r"bad/plugin.yaml: spec.generate.command is missing"),
        (
            {"generate": {"command": ["true"]}, "provideGitCreds": True},
            "bad/plugin.yaml: spec.provideGitCreds",
        ),
        ({"generate": {"command": ["true"]}, "discovery": {}}, "no such field is known: spec.discovery"),
        ({"generate": {"command": "true"}}, "bad/plugin.yaml: ConfigManagementPlugin: spec.generate.command"),
    ],
)
def test_what_goes_wrong_names_the_plugin_and_the_step(
    operator: Operator, renders: Renders, told: dict[str, Any], message: str
) -> None:
    operator.installs("bad", **told)
    with pytest.raises(RenderFailed, match=message):
        renders({**FILES, "app/a.sh": Executable("#!/bin/sh\ncat a.yaml\n")}, plugin={"name": "bad"})


def test_a_plugin_that_cannot_be_read_stops_what_it_might_have_taken(
    operator: Operator, renders: Renders
) -> None:
    operator.installs("bad", generate={"command": []})
    with pytest.raises(RenderFailed, match=r"bad/plugin.yaml"):
        renders(FILES)
    assert names(renders(FILES, directory={"recurse": True})) == ["a"]


def test_where_the_directory_of_plugins_is_gone_nothing_is_taken_for_plain_manifests(
    operator: Operator, renders: Renders
) -> None:
    operator.directory.rmdir()
    with pytest.raises(RenderFailed, match=r"MOORING_PLUGINS_DIR: .* cannot be read"):
        renders(FILES)


def test_a_program_of_the_repository_is_never_the_plugins(operator: Operator, renders: Renders) -> None:
    operator.installs(
        "printer", files={"bin/tool": "#!/bin/sh\ncat a.yaml\n"}, generate={"command": ["tool"]}
    )
    trap = Executable("#!/bin/sh\ncat ../other/c.yaml\n")
    files = {**FILES, "app/tool": trap, "app/bin/tool": trap, "bin/tool": trap}
    assert names(renders(files, plugin={"name": "printer"})) == ["a"]


def test_files_of_the_repository_are_not_programs_unless_the_plugin_says_so(
    operator: Operator, renders: Renders
) -> None:
    files = {**FILES, "app/own.sh": Executable("#!/bin/sh\ncat a.yaml\n")}
    operator.installs("strict", generate={"command": ["sh", "-c", "./own.sh"]})
    operator.installs("trusting", preserveFileMode=True, generate={"command": ["sh", "-c", "./own.sh"]})
    with pytest.raises(RenderFailed, match=r"plugin strict: generate failed \(exit code 126\): .*denied"):
        renders(files, plugin={"name": "strict"})
    assert names(renders(files, plugin={"name": "trusting"})) == ["a"]


def test_a_plugin_reads_nothing_of_the_worker_and_has_no_network(
    operator: Operator, renders: Renders, tmp_path: Path
) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cr3t-token")
    probe = (
        f"cat {secret} >/dev/null 2>&1 && echo 'read: it' ; "
        "python3 -c 'import socket; socket.socket()' 2>/dev/null && echo 'connected: it'; cat a.yaml"
    )
    operator.installs("nosy", generate={"command": ["sh", "-c", probe]})
    rendered = renders(FILES, plugin={"name": "nosy"})
    assert [manifest.body for manifest in rendered.manifests] == [yaml.safe_load(_CONFIG % "a")]


def test_a_source_that_no_plugin_takes_says_which_there_are(operator: Operator, renders: Renders) -> None:
    operator.installs("printer", generate={"command": ["cat", "a.yaml"]})
    with pytest.raises(RenderFailed, match=r"no plugin finds this source: name one; installed are printer$"):
        renders(FILES, plugin={"env": [{"name": "A", "value": "b"}]})


def test_nothing_is_left_of_the_work(operator: Operator, renders: Renders, tmp_path: Path) -> None:
    operator.installs("printer", generate={"command": ["sh", "-c", "mkdir -m 0 closed; cat a.yaml"]})
    renders(FILES, plugin={"name": "printer"})
    assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()] == []


# --- what is remembered -----------------------------------------------------------------------------
@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "renders", b"k" * 32, 1 << 20)


def _run() -> float:
    """How often a plugin has been run for a render or a question so far."""
    return float(RENDERS.labels("Plugin", "rendered")._value.get())


def test_a_plugin_that_hung_is_not_run_again(operator: Operator, renders: Renders, cache: Cache) -> None:
    operator.installs("hangs", generate={"command": ["sleep", "1000"]})
    before = _run()
    for files in ({"app/x": "1"}, {}):
        with pytest.raises(RenderExceeded, match=r"plugin hangs: generate: .*not done after 0\.5 s"):
            renders(files, through=cache.product, seconds=0.5, plugin={"name": "hangs"})
    assert _run() == before + 1


@pytest.mark.parametrize(("script", "kind"), [("echo yes", "Plugin"), ("exit 1", "Directory")])
def test_whether_it_takes_a_source_is_asked_once(
    operator: Operator, renders: Renders, cache: Cache, script: str, kind: str
) -> None:
    operator.installs(
        "asked",
        generate={"command": ["cat", "x.yaml"]},
        discover={"find": {"command": ["sh", "-c", script]}},
    )
    first = renders({"app/x.yaml": _CONFIG % "x"}, through=cache.product)
    assert first.kinds == (kind,)
    before = _run()
    again = renders({}, through=cache.product)
    assert (again.manifests, again.kinds) == (first.manifests, first.kinds)
    assert _run() == before, "and what is kept starts nothing"
    renders({"app/x.yaml": _CONFIG % "other"}, through=cache.product)
    assert _run() > before


def test_a_question_that_hangs_is_not_asked_again_and_is_no_answer(
    operator: Operator, renders: Renders, cache: Cache
) -> None:
    operator.installs(
        "hangs", generate={"command": ["cat", "x.yaml"]}, discover={"find": {"command": ["sleep", "1000"]}}
    )
    before = _run()
    for files in ({"app/x.yaml": _CONFIG % "x"}, {}):
        with pytest.raises(RenderExceeded, match=r"plugin hangs: discover: .*not done after 0\.5 s"):
            renders(files, through=cache.product, seconds=0.5)
    assert _run() == before + 1


def test_a_question_that_was_ended_from_outside_is_no_answer(operator: Operator, renders: Renders) -> None:
    operator.installs(
        "ended",
        generate={"command": ["cat", "x.yaml"]},
        discover={"find": {"command": ["sh", "-c", "kill -9 $$"]}},
    )
    with pytest.raises(RenderFailed, match=r"plugin ended: discover failed \(signal 9\)"):
        renders({"app/x.yaml": _CONFIG % "x"})

"""A tool quotes what it cannot use; what its files keep secret is not among its words when we repeat them."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

import pytest

from tests.workers.confine.conftest import Prison
from workers.confine.dumps import MASK
from workers.confine.hush import hushed
from workers.confine.run import ToolFailed

CANARY = f"canary-{secrets.token_hex(8)}"
CODED = base64.b64encode(CANARY.encode()).decode()
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\n"


@pytest.mark.parametrize(
    "files",
    [
        {"a.yaml": f"{SECRET}stringData:\n  any: {CANARY}\n"},
        {"a.yaml": f"{SECRET}data:\n  any: {CODED}\n"},
        {"deep/er/a.yml": f"a: 1\n---\n{SECRET}stringData: {{any: 'first\n\n    {CANARY}\n\n    last'}}\n"},
        {"a.json": f'{{"kind": "Secret", "stringData": {{"any": "{CANARY}"}}}}'},
        {"list.yaml": f"kind: List\nitems:\n- kind: Secret\n  stringData: {{any: {CANARY}}}\n"},
        {"values.yaml": f"db:\n  rootPassword: {CANARY}\n"},
        {"values.yaml": f"auth:\n  database:\n  - {CANARY}\n"},
        {"values.yaml": f"env:\n  API_KEY: &it {CANARY}\n  other: *it\n"},
        {"templates/a.yaml": f"kind: Secret\nstringData:\n  {{{{ .Values.x }}}}: y\n  any: {CANARY}\n"},
        {"templates/b.yaml": f"x: {{{{ if }}}}\npassword: '{CANARY}'\n"},
        {"broken.yaml": f"a: [\ndb_token: {CANARY}\n"},
        {"settings.env": f"DB_PASSWORD={CANARY}\n"},
        {"kustomization.yaml": f"secretGenerator:\n- name: x\n  literals: [any={CANARY}]\n"},
        {"b/kustomization.yaml": "secretGenerator:\n- envs: [../x.env]\n", "x.env": f"ANY={CANARY}\n"},
        {"kustomization.yaml": "secretGenerator:\n- files: [k=x.txt]\n", "x.txt": f"{CANARY}\n"},
        {"given/values-0": f"{{db: {{password: {CANARY}}}}}"},
        {"templates/a.yaml": f"{{kind: Secret, stringData: {{any: {CANARY}, {{{{ .Values.x }}}}: y}}}}\n"},
        {"main.jsonnet": f"{{ kind: 'Secret', stringData: {{ any: '{CANARY}' }} }}"},
        {"main.jsonnet": f"// don't\nlocal it = '{CANARY}'; {{ kind: 'Secret', data: {{ any: it }} }}"},
        {"lib/x.libsonnet": f"# isn't\n{{ stringData+: {{ any: |||\n    {CANARY}\n  ||| }} }}"},
        {"lib/y.libsonnet": f"/* it's */ {{ kind:: 'Secret', data: {{ any: std.base64(@'{CANARY}') }} }}"},
        {"lib/z.libsonnet": f'{{ db: {{ "rootPassword": "{CANARY}" }} }}'},
        {
            "templates/a.yaml": f"{SECRET}data: {{{{ .Values.db.mast }}}}\n",
            "values.yaml": f"mast: {CANARY}\n",
        },
        {"password.txt": f"{CANARY}\n"},
        {"secrets.yaml": f"mast: {CANARY}\n"},
        {"secret.libsonnet": f"'{CANARY}'"},
        {"main.jsonnet": "{ kind: 'Secret', data: { any: importstr 'x.txt' } }", "x.txt": f"{CANARY}\n"},
        {"main.jsonnet": "{ stringData: { any: (import 'x.json').a } }", "x.json": f'{{"a": "{CANARY}"}}'},
        {"main.jsonnet": "{ stringData: import 'y.libsonnet' }", "y.libsonnet": f"{{ any: '{CANARY}' }}"},
        {"kustomization.yaml": f"secretGenerator:\n- name: x\n  literals: [{CANARY}]\n"},
        {"generator.yaml": f"kind: SecretGenerator\nliterals: [any={CANARY}]\n"},
        {"kustomization.yaml": f"patches:\n- patch: |\n    {{kind: Secret, data: {{any: {CANARY}}}}}\n"},
    ],
)
def test_what_the_files_keep_secret_is_not_repeated(prison: Prison, files: dict[str, str]) -> None:
    for path, text in files.items():
        (prison.directory / path).parent.mkdir(parents=True, exist_ok=True)
        (prison.directory / path).write_text(text)
    with pytest.raises(ToolFailed) as caught:
        prison.shell(f"echo 'cannot use \"{CANARY}\" or {CODED} of a.yaml' >&2; exit 1")
    told = f"{caught.value} {caught.value.stderr}"
    assert CANARY not in told
    assert CODED not in told
    assert f'cannot use "{MASK}" or {MASK} of a.yaml' in told
    assert CANARY not in prison.shell(f"echo {CANARY} >&2").stderr, "nor of a tool that succeeds"


_DUMPS = {
    "json": '{"apiVersion":"v1","kind":"Secret","stringData":{"p":"computed"}} is no number',
    "data first": '[{"a": 1}, {"data": {"p": "computed"}, "kind": "Secret"}]',
    "json on lines": '{\n    "data": {\n        "p": "computed"\n    },\n    "kind": "Secret"\n}',
    "json with tabs": '{\n\t"data": {\n\t\t"p": "computed"\n\t},\n\t"kind": "Secret"\n}',
    "escaped": '"{\\"data\\":{\\"p\\":\\"computed\\"},\\"kind\\":\\"Secret\\"}"',
    "yaml": "apiVersion: v1\ndata:\n  p: computed\nkind: Secret\nmetadata:\n  name: x",
    "yaml in quotes": '"apiVersion": "v1"\n"data":\n  "p": "computed"\n"kind": "Secret"',
    "yaml in braces": "{stringData: {p: computed}}",
    "of go": "map[data:map[p:computed] kind:Secret metadata:map[name:x]]",
    "a field that tells": 'this: {"rootPassword": "computed", "port": 3}',
}


@pytest.mark.parametrize("dump", _DUMPS.values(), ids=list(_DUMPS))
def test_nor_is_what_no_file_holds_where_a_secret_is_printed(tmp_path: Path, dump: str) -> None:
    told = hushed(f"web.yaml:3: cannot use {dump}\n\tapp/main.jsonnet:3:6-9\tobject <anonymous>\n", tmp_path)
    assert "computed" not in told
    assert told.startswith("web.yaml:3: cannot use ")
    assert told.endswith("\n\tapp/main.jsonnet:3:6-9"), "where that was is known nevertheless"


@pytest.mark.parametrize(
    "words",
    [
        'cannot find Secret "db" of the Deployment web',
        "a kind: Secretariat {replicas: 3} is not known",
        'unknown field "stringData" in {"kind": "ConfigMap"}',
    ],
)
def test_who_only_speaks_of_secrets_is_heard(tmp_path: Path, words: str) -> None:
    assert hushed(words, tmp_path) == words


def test_of_words_that_are_too_many_none_is_half_a_secret(prison: Prison) -> None:
    code = """import sys
sys.stderr.write('{"kind": "Secret", "data": {"p": "' + "hush" * 30000 + '"}}')
sys.exit("\\nno sense")"""
    with pytest.raises(ToolFailed) as caught:
        prison.python(code)
    assert "hush" not in f"{caught.value} {caught.value.stderr}"
    assert "no sense" in str(caught.value)


def test_an_option_with_a_secret_is_not_repeated(tmp_path: Path) -> None:
    argv = ("helm", "--set-string", f"db.password={CANARY},name=web")
    assert hushed(f"failed: {CANARY} of web", tmp_path, argv) == f"failed: {MASK} of web"
    argv = ("jsonnet", "--ext-str", f"password={CANARY},{CANARY}")
    assert hushed(f"failed: {CANARY},{CANARY} of web", tmp_path, argv) == f"failed: {MASK} of web"


def test_of_an_option_that_is_escaped_or_a_list_or_a_file_nothing_is_repeated(tmp_path: Path) -> None:
    argv: tuple[str, ...]
    argv = ("helm", "--set", f"db.password={CANARY}\\,b", "--set", f"tokens={{first,{CODED}}}")
    assert hushed(f"failed: {CANARY},b and {CODED}", tmp_path, argv) == f"failed: {MASK} and {MASK}"
    argv = ("jsonnet", "--ext-code", f"config={{ password: '{CANARY}' }}")
    assert hushed(f"failed: {CANARY}", tmp_path, argv) == f"failed: {MASK}"
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "parameter-0").write_text(f"{CANARY}\n")
    argv = ("helm", "--set-file", "db.password=given/parameter-0")
    assert hushed(f"failed: {CANARY}", tmp_path, argv) == f"failed: {MASK}"


def test_an_option_of_a_program_that_makes_a_secret_is_not_repeated(tmp_path: Path) -> None:
    argv = ("jsonnet", "--ext-str", f"mast={CANARY}", "main.jsonnet")
    assert hushed(f"failed: {CANARY}", tmp_path, argv) == f"failed: {CANARY}"
    (tmp_path / "main.jsonnet").write_text("{ kind: 'Secret', data: { any: std.extVar('mast') } }")
    assert hushed(f"failed: {CANARY}", tmp_path, argv) == f"failed: {MASK}"


@pytest.mark.parametrize("sign", ["*", "&", "!"])
def test_a_secret_that_yaml_takes_for_an_alias_is_not_repeated_without_its_sign(
    tmp_path: Path, sign: str
) -> None:
    (tmp_path / "values.yaml").write_text(f'password: "{sign}{CANARY} and more"\n')
    words = "yaml: unknown anchor '{}' referenced"
    assert hushed(words.format(CANARY), tmp_path) == words.format(MASK)


def test_words_that_are_no_secrets_stay(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("secretName: web-tls\nimage: nginx\ntokens: 3\npassword: abc\n")
    words = "web-tls of nginx: templates/web.yaml:3: abc: want 3"
    assert hushed(words, tmp_path) == words


def test_what_a_tool_left_to_trip_us_is_passed_over(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("password: nothing of this\n")
    work = tmp_path / "work"
    deep = work.joinpath(*["d"] * 100)
    deep.mkdir(parents=True)
    os.mkfifo(work / "pipe.yaml")
    (work / "link.yaml").symlink_to(outside)
    (work / "endless.yaml").symlink_to("/dev/zero")
    (work / "nested.yaml").write_text("password: " + "[" * 100_000)
    (work / "bomb.yaml").write_text(
        "password: &a [x]\n" + "".join(f"k{n}: &k{n} [*a,*a]\n" for n in range(1000))
    )
    (work / "password.yaml").write_text(f"password: {CANARY}\n")
    assert hushed(f"nothing of this, nor {CANARY}", work) == f"nothing of this, nor {MASK}"


@pytest.mark.parametrize(
    "text", ["\n", " ", "-", "a", "a: ", "=", "password: x ", "'", "kind:\n", "a:'", 'a:"\\', "/*", "|||"]
)
def test_text_that_is_long_to_no_purpose_is_gone_through_once(tmp_path: Path, text: str) -> None:
    long = text * (500_000 // len(text))
    (tmp_path / "a.tpl").write_text(f"password = {CANARY}\n{long}")
    (tmp_path / "c.jsonnet").write_text(f"local x = {{ kind: 'Secret' }};\n{long}")
    (tmp_path / "b.yaml").write_text(f"{long}: [\n{long}token: é")
    assert hushed(f"of {CANARY}", tmp_path) == f"of {MASK}"
    hushed(long[: 64 << 10], tmp_path)

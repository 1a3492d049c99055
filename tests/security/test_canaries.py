"""Secrets are planted in every place where Mooring may know one, and looked for in every place where people
or other programs can see something."""

from __future__ import annotations

import base64
import json
import secrets
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from click.testing import CliRunner

from cli.main import main
from devcluster.gitserver import GitServer, Repository
from devcluster.redis import RedisServer
from tests.stories.conftest import own_redis, ship, ship_processes
from tests.stories.ship import SECRET, Ship, configmap, until

__all__ = ["own_redis", "ship", "ship_processes"]
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("tools")]


def canary(kind: str) -> str:
    return f"canary-{kind}-{secrets.token_hex(12)}"


PASSWORD = canary("git")


# It says what it reads, as a tool does that cannot make sense of it.
_TELLTALE = """apiVersion: argoproj.io/v1alpha1
kind: ConfigManagementPlugin
metadata: {name: telltale}
spec:
  generate: {command: [sh, -c, "cat secret.yaml values.yaml >&2; echo no sense >&2; exit 3"]}
"""


@dataclass(frozen=True)
class Loud:
    """A source whose own tool quotes what is secret in it; `says` is the error without that."""

    says: str
    files: Mapping[str, str]
    source: Mapping[str, Any] = field(default_factory=dict)


_CHART = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
_HEAD = "apiVersion: v1\nkind: Secret\nmetadata: {name: kept}\n"


def _loud(values: Mapping[str, str]) -> dict[str, Loud]:
    """By the names of the canaries that each of them holds."""
    return {
        "values": Loud(
            "helm: execution error at (web/templates/a.yaml:1:3): cannot use map[password:***]",
            {
                "Chart.yaml": _CHART,
                "values.yaml": f"db: {{password: {values['values']}}}\n",
                "templates/a.yaml": '{{ fail (printf "cannot use %v" .Values.db) }}',
            },
        ),
        "template": Loud(
            "helm: YAML parse error on web/templates/a.yaml: error converting YAML to JSON: yaml: unknown "
            "anchor '***' referenced",
            {
                "Chart.yaml": _CHART,
                "values.yaml": f'mast: "*{values["template"]}"\n',
                "templates/a.yaml": f"{_HEAD}stringData:\n  it: {{{{ .Values.mast }}}}\n",
            },
        ),
        "parameter": Loud(
            "helm: execution error at (web/templates/a.yaml:1:3): cannot use ***",
            {
                "Chart.yaml": _CHART,
                "templates/a.yaml": '{{ fail (printf "cannot use %s" .Values.db.password) }}',
            },
            {"helm": {"parameters": [{"name": "db.password", "value": f"{values['parameter']},b"}]}},
        ),
        "file": Loud(
            "helm: execution error at (web/templates/a.yaml:1:3): cannot use ***",
            {
                "Chart.yaml": _CHART,
                "it.txt": values["file"],
                "templates/a.yaml": '{{ fail (printf "cannot use %s" .Values.db.password) }}',
            },
            {"helm": {"fileParameters": [{"name": "db.password", "path": "it.txt"}]}},
        ),
        "literal": Loud(
            "kustomize: loading KV pairs: literal sources `…`, expected key=value",
            {
                "kustomization.yaml": f"secretGenerator:\n- name: kept\n  literals: [{values['literal']}]\n",
            },
        ),
        "patch": Loud(
            "kustomize: trouble configuring builtin PatchTransformer with config: ",
            {
                "kustomization.yaml": "resources: [kept.yaml]\npatches:\n- patch: |\n    apiVersion: v1\n"
                "    kind: Secret\n    metadata: {name: kept}\n    stringData:\n"
                f"      it: {values['patch']}\n     so: not\n",
                "kept.yaml": _HEAD,
            },
        ),
        "base": Loud(
            "yaml: unknown anchor '***' referenced",
            {
                "kustomization.yaml": "resources: [kept.yaml]\n",
                "kept.yaml": f"{_HEAD}stringData:\n  it: *{values['base']}\n",
            },
        ),
        "variable": Loud(
            "cannot use ***",
            {"a.jsonnet": "error 'cannot use ' + std.extVar('dbPassword')"},
            {"directory": {"jsonnet": {"extVars": [{"name": "dbPassword", "value": values["variable"]}]}}},
        ),
        "import": Loud(
            "import/a.jsonnet:2: no ***",
            {
                "a.jsonnet": "local it = { kind: 'Secret', stringData: { it: importstr 'it.txt' } };\n"
                "error 'no ' + it.stringData.it",
                "it.txt": values["import"],
            },
        ),
        "alias": Loud(
            "kept.yaml:5: an alias (*…) has no anchor before it",
            {"kept.yaml": f"{_HEAD}stringData:\n  it: *{values['alias']}\n"},
        ),
    }


_LOUD = ("values", "template", "parameter", "file", "literal", "patch", "base", "variable", "import", "alias")


@pytest.fixture(scope="module")
def ship_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    plugins = tmp_path_factory.mktemp("plugins")
    (plugins / "telltale").mkdir()
    (plugins / "telltale" / "plugin.yaml").write_text(_TELLTALE)
    return {"MOORING_PLUGINS_DIR": str(plugins)}


@pytest.fixture(scope="module")
def ship_config() -> dict[str, str]:
    return {"resource.sensitive.mask.annotations": "example.com/key,example.com/other"}


@pytest.fixture(scope="module")
def closed_host() -> Iterator[GitServer]:
    """A Git host that wants a password."""
    with GitServer(user="sailor", password=PASSWORD) as server:
        yield server


def _forms(value: str) -> Iterator[bytes]:
    yield value.encode()
    yield base64.b64encode(value.encode())
    yield base64.b64encode(f"sailor:{value}".encode())
    yield quote(value, safe="").encode()


def _keys(client: redis.Redis) -> Iterator[tuple[str, bytes]]:
    for key in client.scan_iter("*"):
        if client.type(key) == b"stream":
            yield key.decode(), repr(client.xrange(key)).encode()
        else:
            match client.type(key):
                case b"hash":
                    value = repr(client.hgetall(key))
                case b"list":
                    value = repr(client.lrange(key, 0, -1))
                case b"set":
                    value = repr(client.smembers(key))
                case b"zset":
                    value = repr(client.zrange(key, 0, -1, withscores=True))
                case _:
                    value = repr(client.get(key))
            yield key.decode(errors="replace"), value.encode()


def _processes(ship: Ship) -> Iterator[tuple[str, bytes]]:
    """argv of everybody on this machine, again and again while work is done; environment of the web tier."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield f"argv of {process.name}", (process / "cmdline").read_bytes()
        except OSError:
            continue


def _cluster(ship: Ship, namespace: str) -> Iterator[tuple[str, bytes]]:
    for name, path in (
        ("events", f"/api/v1/namespaces/{ship.home}/events"),
        ("inventories", f"/api/v1/namespaces/{ship.home}/configmaps"),
        ("what was deployed", f"/api/v1/namespaces/{namespace}/configmaps"),
    ):
        yield name, json.dumps(ship.ask(path)).encode()
    apps = ship.ask(f"/apis/argoproj.io/v1alpha1/namespaces/{ship.home}/applications")["items"]
    for app in apps:
        status = json.loads(json.dumps(app.get("status", {})))
        yield f"status of {app['metadata']['name']}", json.dumps(_without_sources(status)).encode()
        yield "annotations", json.dumps(app["metadata"].get("annotations", {})).encode()


def _without_sources(value: object) -> object:
    """Argo CD's schema repeats the spec's source in the status of the same object: that says nothing new."""
    if isinstance(value, dict):
        return {key: _without_sources(item) for key, item in value.items() if key != "source"}
    return [_without_sources(item) for item in value] if isinstance(value, list) else value


def _cli(ship: Ship, name: str) -> Iterator[tuple[str, bytes]]:
    home = ["--kubeconfig", str(ship.cluster.kubeconfig), "-N", ship.home]
    environ = {
        "MOORING_REDIS_URL": ship.redis_url,
        "MOORING_STATE_DIR": str(ship.directory / "cli"),
        "MOORING_KUBECONFIG": str(ship.cluster.kubeconfig),
        "MOORING_NAMESPACE": ship.home,
    }
    for argv in (
        ["app", "list", "-o", "wide", *home],
        ["app", "get", name, *home],
        ["app", "get", name, "-o", "json", *home],
        ["app", "reads", name, *home],
        ["app", "resources", name, *home],
        ["app", "resources", name, "-o", "json", *home],
        ["app", "diff", name, *home],
        ["app", "manifests", name, *home],
        ["app", "manifests", name, "-o", "json", *home],
        ["app", "manifests", name, "--source", "live", *home],
        ["app", "history", name, *home],
        ["app", "sync", name, "--timeout", "10", *home],
        ["delivery", "list", "-o", "wide"],
        ["delivery", "list", "-o", "json"],
    ):
        output = CliRunner().invoke(main, argv, env=environ).output
        if argv[:2] == ["app", "get"] and "json" in argv:  # the spec says what its writer wrote, and no more
            app = json.loads(output)
            del app["spec"]
            output = json.dumps(_without_sources(app))
        yield " ".join(argv[:3]), output.encode()


def _answered(ship: Ship, path: str) -> None:
    until(path, lambda: ship.api(path)[0] == 200)


def _web(ship: Ship, deliveries: list[str], apps: list[str]) -> Iterator[tuple[str, bytes]]:
    of_apps = [f"applications/{ship.home}/{app}/{what}" for app in apps for what in ("drifts", "tree")]
    for path in of_apps:
        _answered(ship, path)
    for path in (
        *("/", "/readyz", "/api/v1/clusters"),
        *(f"/api/v1/deliveries/{id}" for id in deliveries),
        *(f"/api/v1/{path}" for path in of_apps),
    ):
        with urllib.request.urlopen(f"http://127.0.0.1:{ship.port}{path}", timeout=10) as answer:
            yield path, answer.read() + str(answer.headers).encode()
    for name, port in ship.metrics.items():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            yield f"metrics of {name}", answer.read()
    yield "environment of the web tier", Path(f"/proc/{ship.children['web'].pid}/environ").read_bytes()


def _files(ship: Ship) -> Iterator[tuple[str, bytes]]:
    for path in ship.directory.rglob("*"):
        if path.is_file() and path.suffix not in (".pack", ".idx"):
            yield str(path.relative_to(ship.directory)), path.read_bytes()


def test_no_canary_is_ever_seen(
    ship: Ship,
    own_redis: RedisServer,
    closed_host: GitServer,
    git_server: GitServer,
    git_repo: Repository,
    namespace: str,
) -> None:
    kinds = ("data", "string", "broken", "url", "hook", "webhook", "tool", "named", *_LOUD)
    values = {kind: canary(kind) for kind in kinds}
    token = str(ship.cluster.token)

    # 1. A Secret in Git, which is deployed, changed, and then refused by the API server.
    name = f"app-{secrets.token_hex(4)}"
    first = git_repo.commit({"a.yaml": configmap("a", v="1"), "secret.yaml": _secret(values)})
    ship.create_app(name, git_repo, namespace, selfHeal=True)
    ship.synced(name, first)
    ship.ask(
        f"/api/v1/namespaces/{namespace}/secrets/kept",
        {"stringData": {"two": "drift"}},
        method="PATCH",
        content_type="application/merge-patch+json",
    )
    ship.reconcile(name)
    deliveries = [ship.deliver(git_repo, git_repo.commit({"secret.yaml": _secret(values, immutable=True)}))]
    ship.finished(deliveries[0])
    changed = git_repo.commit({"secret.yaml": _secret({**values, "data": values["broken"]}, immutable=True)})
    deliveries.append(ship.deliver(git_repo, changed))
    assert ship.finished(deliveries[-1])["state"] == "failed", "an immutable Secret was changed"
    ship.deliver(git_repo, git_repo.commit({"secret.yaml": _broken(values)}))

    # 1b. One that repeats its values in its annotations, drifts, and is shown as it drifts.
    apart = f"apart-{name}"
    repo = git_server.create(apart)
    repo.commit({"secret.yaml": _annotated(values), "other.yaml": configmap("other")})
    ship.create_app(apart, repo, namespace, auto=False)
    assert ship.operate(apart)["status"]["operationState"]["phase"] == "Succeeded"
    ship.kubectl("annotate", "secret", "apart", "-n", namespace, f"example.com/kept={values['data']}")
    ship.kubectl("annotate", "secret", "apart", "-n", namespace, "--overwrite", "example.com/note=theirs")
    repo.commit({"secret.yaml": _annotated({**values, "string": values["broken"]})})
    ship.refresh(apart)

    # 2. A password in the URL of an Application: wrong, then right.
    closed = closed_host.create(f"closed-{secrets.token_hex(4)}")
    commit = closed.commit({"a.yaml": configmap("b", v="1")})
    for who, password in (("wrong", values["url"]), ("right", PASSWORD)):
        url = closed.url.replace("://", f"://sailor:{password}@")
        ship.create_app(f"{who}-{name}", replace(closed, url=url), namespace)
    ship.synced(f"right-{name}", commit)
    ship.condition(f"wrong-{name}", "refuse")

    # 3. A password in the URL of a delivery, which nobody but its sender put there.
    tokened = replace(closed, url=closed.url.replace("://", f"://x:{values['hook']}@"))
    deliveries.append(ship.deliver(tokened, closed.commit({"a.yaml": configmap("b", v="2")})))
    assert ship.finished(deliveries[-1])["state"] in ("succeeded", "failed")

    # 4. What is secret in a source, and what renders it cannot use and repeats, the operator's tool too.
    loud = _loud(values)
    harbour = git_server.create(f"loud-{secrets.token_hex(4)}")
    harbour.commit({f"{kind}/{path}": text for kind in loud for path, text in loud[kind].files.items()})
    for kind, one in loud.items():
        spec = {"repoURL": harbour.url, "path": kind, "targetRevision": "main", **one.source}
        ship.create_app(f"{kind}-{name}", harbour, namespace, spec={"source": spec})
    told = closed_host.create(f"told-{secrets.token_hex(4)}")
    told.commit({"secret.yaml": _secret(values), "values.yaml": f"dbPassword: {values['tool']}\n"})
    source = {"path": ".", "targetRevision": "main", "plugin": {"name": "telltale"}}
    url = told.url.replace("://", f"://sailor:{PASSWORD}@")
    ship.create_app(f"told-{name}", told, namespace, spec={"source": {**source, "repoURL": url}})
    ship.condition(f"told-{name}", "telltale")
    for kind, one in loud.items():
        ship.condition(f"{kind}-{name}", one.says)
    ship.quiet()

    values |= {"git": PASSWORD, "token": token, "secret": SECRET}
    values["redis"] = own_redis.url.partition(":")[2].partition("@")[0].rpartition(":")[2]
    with ship.redis() as client:
        seen = [
            *_keys(client),
            *_cluster(ship, namespace),
            *_cli(ship, name),
            *_cli(ship, f"right-{name}"),
            *_cli(ship, apart),
            *_cli(ship, f"wrong-{name}"),
            *_cli(ship, f"told-{name}"),
            *(found for kind in loud for found in _cli(ship, f"{kind}-{name}")),
            *_web(ship, deliveries, [name, apart]),
            *_processes(ship),
            *_files(ship),
        ]
    assert len(seen) > 50
    differs = next(text for place, text in seen if place == f"app diff {apart}").decode()
    assert "-    example.com/note: theirs" in differs
    assert "     example.com/key: ++++++++" in differs
    assert "-    example.com/copy: ++++++++" in differs
    assert "+    example.com/copy: ++++++++++++" in differs
    assert any(b"++++++++" in text for place, text in seen if place.startswith("app manifests"))
    assert any(b"refuses the credential" in text for place, text in seen if place == "/")
    for kind, one in loud.items():
        assert any(
            one.says.encode() in text for place, text in seen if place == f"app manifests {kind}-{name}"
        )
    found = [
        (kind, place)
        for place, text in seen
        for kind, value in values.items()
        for form in _forms(value)
        if form in text and (kind, place) not in _KNOWN
    ]
    assert found == []
    web = dict(_web(ship, [], []))["environment of the web tier"]
    assert b"KUBECONFIG" not in web
    assert b"HOME=" not in web or str(ship.directory).encode() in web


# Whose place is there: the web tier alone holds webhook secrets, and each process its Redis URL.
_KNOWN = {
    ("secret", "environment of the web tier"),
    ("redis", "environment of the web tier"),
}


def _secret(values: Mapping[str, str], **more: object) -> str:
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "kept"},
        "data": {"one": base64.b64encode(values["data"].encode()).decode()},
        "stringData": {"two": values["string"]},
        **more,
    }
    return json.dumps(manifest, indent=1)


def _annotated(values: Mapping[str, str]) -> str:
    """A Secret whose annotations repeat what is in it, and one that an operator has named as secret."""
    held = {"one": values["data"], "two": values["string"]}
    copies = {
        "example.com/key": values["named"],
        "example.com/copy": f"password={values['string']}",
        "example.com/encoded": base64.b64encode(values["data"].encode()).decode(),
        "example.com/note": "fine",
    }
    metadata = {"name": "apart", "annotations": copies}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": held})


def _broken(values: Mapping[str, str]) -> str:
    return (
        f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: kept\nstringData:\n  two: {values['string']}\n"
        f"  two: {values['broken']}\ndata:\n  one: not-base64-{values['broken']}\n"
    )

"""Objects that the API server makes something else of: by webhooks, and by what is given for fields that are
left out. None of it is drift, and none of it is synced or healed again and again."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import secrets
import ssl
import threading
import urllib.error
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.definitions import definition
from tests.stories.ship import Ship, configmap, unobserved, until
from tests.stories.test_ignore_differences import MERGE, deployment, looked, named, path, sync, web

pytestmark = pytest.mark.cluster

GROUP = f"given{secrets.token_hex(4)}.mooring.dev"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
SAID: dict[str, Any] = {
    "ports": [{"port": 1}, {"port": 1, "protocol": "UDP"}],
    "steps": [{"run": "a"}, {}],
    "limits": {},
}
Mutate = Callable[[dict[str, Any]], None]


class Mutator:
    """A mutating admission webhook, asked over TLS by the API server for every create and update in one
    namespace, trials included: `mutate` changes the object in place."""

    def __init__(self, cluster: Cluster, namespace: str, mutate: Mutate) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._name = f"mutator-{secrets.token_hex(5)}.mooring.test"
        self.asked: list[tuple[str, bool]] = []  # names of objects, and whether that was a trial
        mutator = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                request = review["request"]
                mutator.asked.append((request["name"], bool(request.get("dryRun"))))
                body = request["object"]
                mutate(body)
                parts = [{"op": "add", "path": f"/{name}", "value": value} for name, value in body.items()]
                response = {
                    "uid": request["uid"],
                    "allowed": True,
                    "patchType": "JSONPatch",
                    "patch": base64.b64encode(json.dumps(parts).encode()).decode(),
                }
                answer = json.dumps({**review, "request": None, "response": response}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cluster.ca, cluster.ca.with_suffix(".key"))
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )

    def _answers(self) -> bool:
        probe = {"metadata": {"name": "probe"}}
        devcluster.ask(self._cluster, f"/api/v1/namespaces/{self._namespace}/configmaps?dryRun=All", probe)
        return ("probe", True) in self.asked

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="mutator").start()
        webhook = {
            "name": self._name,
            "clientConfig": {
                "url": f"https://127.0.0.1:{self._server.server_address[1]}/",
                "caBundle": base64.b64encode(self._cluster.ca.read_bytes()).decode(),
            },
            "rules": [
                {
                    "operations": ["CREATE", "UPDATE"],
                    "apiGroups": ["", "apps"],
                    "apiVersions": ["v1"],
                    "resources": ["configmaps", "deployments"],
                }
            ],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "reinvocationPolicy": "IfNeeded",
            "admissionReviewVersions": ["v1"],
        }
        body = {"metadata": {"name": self._name}, "webhooks": [webhook]}
        devcluster.ask(self._cluster, CONFIGURATIONS, body)
        until("the API server to ask the webhook", self._answers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        devcluster.ask(self._cluster, f"{CONFIGURATIONS}/{self._name}", method="DELETE")
        self._server.shutdown()
        self._server.server_close()


def stays(ship: Ship, name: str, read: Callable[[], Any]) -> None:
    """However it is looked at, the app is Synced, its object is not written, and no sync is begun."""
    ship.quiet()
    before, begun = unobserved(read()), ship.app(name)["status"]["operationState"]
    for look in (looked, looked, lambda ship, name: ship.reconcile(name)):
        assert sync(look(ship, name)) == "Synced"
        ship.quiet()
    assert ship.mooring("app", "diff", name).returncode == 0
    assert unobserved(read()) == before
    assert ship.app(name)["status"]["operationState"] == begun


@pytest.mark.parametrize("options", [[], ["ServerSideApply=false"], ["Replace=true"]])
def test_what_a_webhook_makes_of_an_object_is_no_drift_and_what_others_make_of_it_is(
    ship: Ship, git_repo: Repository, namespace: str, options: list[str]
) -> None:
    def mutate(body: dict[str, Any]) -> None:
        if body["kind"] != "Deployment":
            return
        body["metadata"].setdefault("labels", {})["team"] = "theirs"
        spec = body["spec"]["template"]["spec"]
        for container in spec["containers"]:  # also what Git says itself
            if not container["image"].startswith("mirror/"):
                container["image"] = f"mirror/{container['image']}"
        if all(container["name"] != "sidecar" for container in spec["containers"]):
            spec["containers"].append({"name": "sidecar", "image": "mirror/sidecar:1"})
        spec["nodeSelector"] = {"pool": "shared"}

    name = named()
    git = deployment("web=web:1", replicas=0, tier="front")
    commit = git_repo.commit({"web.yaml": git})
    ship.create_app(name, git_repo, namespace, policy={"syncOptions": options}, auto=False)
    with Mutator(ship.cluster, namespace, mutate) as mutator:
        ship.patch_app(name, {"spec": {"syncPolicy": {"automated": {"prune": True, "selfHeal": True}}}})
        ship.synced(name, commit)
        assert images_of(ship, namespace) == {"web": "mirror/web:1", "sidecar": "mirror/sidecar:1"}
        stays(ship, name, lambda: web(ship, namespace))
        assert ("web", True) in mutator.asked  # it has a say in trials

        # What somebody else changes is put back, and that is the end of it.
        ship.ask(path(namespace), {"metadata": {"labels": {"tier": "theirs"}}}, **MERGE)
        looked(ship, name)
        ship.quiet()
        assert web(ship, namespace)["metadata"]["labels"]["tier"] == "front"
        stays(ship, name, lambda: web(ship, namespace))

        later = ship.pushed(git_repo, {"web.yaml": deployment("web=web:2", replicas=0, tier="front")})
        ship.synced(name, later)
        assert images_of(ship, namespace) == {"web": "mirror/web:2", "sidecar": "mirror/sidecar:1"}
        stays(ship, name, lambda: web(ship, namespace))


def images_of(ship: Ship, namespace: str) -> dict[str, str]:
    containers = web(ship, namespace)["spec"]["template"]["spec"]["containers"]
    return {container["name"]: container["image"] for container in containers}


def test_what_a_webhook_makes_of_it_anew_each_time_is_no_drift_where_it_is_ignored(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    """Without the rule, every comparison finds another time."""
    times = itertools.count()

    def mutate(body: dict[str, Any]) -> None:
        body["metadata"].setdefault("annotations", {})["seen-at"] = str(next(times))

    name = named()
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    pointer = {"kind": "ConfigMap", "jsonPointers": ["/metadata/annotations/seen-at"]}
    with Mutator(ship.cluster, namespace, mutate):
        ship.create_app(name, git_repo, namespace)
        ship.synced(name, commit)
        ship.quiet()
        assert sync(looked(ship, name)) == "OutOfSync"
        changed = {"ignoreDifferences": [pointer], "syncPolicy": {"automated": {"selfHeal": True}}}
        ship.patch_app(name, {"spec": changed})
        ship.synced(name, commit)
        stays(ship, name, lambda: ship.configmap(namespace, "a"))


@pytest.fixture(scope="module")
def gift(cluster: Cluster) -> Iterator[str]:
    """A kind whose definition gives values for whatever is left out, inside of lists and maps too."""
    given: dict[str, Any] = {
        "type": "object",
        "properties": {
            "mode": {"type": "string", "default": "slow"},
            "limits": {
                "type": "object",
                "default": {},
                "properties": {"cpu": {"x-kubernetes-int-or-string": True, "default": "1000m"}},
            },
            "ports": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port", "protocol"],
                "default": [{"port": 80}],
                "items": {
                    "type": "object",
                    "required": ["port"],
                    "properties": {
                        "port": {"type": "integer"},
                        "protocol": {"type": "string", "default": "TCP"},
                        "open": {"type": "boolean", "default": True},
                    },
                },
            },
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"run": {"type": "string"}, "wait": {"type": "integer", "default": 3}},
                },
            },
        },
    }
    devcluster.ask(cluster, DEFINITIONS, definition(GROUP, "Gift", given))
    address = f"/apis/{GROUP}/v1"

    def served() -> bool:
        with contextlib.suppress(urllib.error.HTTPError):
            devcluster.ask(cluster, f"{address}/gifts")
            return True
        return False

    until("the kind to be served", served)
    yield address
    devcluster.ask(cluster, f"{DEFINITIONS}/gifts.{GROUP}", method="DELETE")


@pytest.mark.parametrize("options", [[], ["ServerSideApply=false"], ["Replace=true"]])
@pytest.mark.parametrize("spec", [{}, SAID])
def test_what_a_definition_gives_for_what_is_left_out_is_no_drift(
    ship: Ship, git_repo: Repository, namespace: str, gift: str, spec: dict[str, Any], options: list[str]
) -> None:
    def git(spec: dict[str, Any]) -> str:
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Gift", "metadata": {"name": "it"}, "spec": spec}
        return json.dumps(body)

    def now() -> Any:
        return ship.ask(f"{gift}/namespaces/{namespace}/gifts/it")

    name = named()
    commit = git_repo.commit({"it.yaml": git(spec)})
    ship.create_app(name, git_repo, namespace, policy={"syncOptions": options}, selfHeal=True)
    ship.synced(name, commit)
    assert now()["spec"]["limits"] == {"cpu": "1000m"} and now()["spec"]["mode"] == "slow"
    stays(ship, name, now)

    # What was said in Git and is no more is given again.
    said = ship.pushed(git_repo, {"it.yaml": git({**spec, "mode": "quick"})})
    ship.synced(name, said)
    assert now()["spec"]["mode"] == "quick"
    unsaid = ship.pushed(git_repo, {"it.yaml": git(spec)})
    ship.synced(name, unsaid)
    assert now()["spec"]["mode"] == "slow"
    stays(ship, name, now)

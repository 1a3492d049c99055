"""Health as an installation writes it into argocd-cm: waves wait for it, the observer hears of it, and what
is wrong with it harms nobody.

But for the last, these stories have no beat: what goes on, the observer has woken.
"""

from __future__ import annotations

import contextlib
import secrets
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.definitions import definition
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_hooks import results
from tests.stories.test_observer import healthy
from tests.stories.test_waves import waits, waved

pytestmark = pytest.mark.cluster

GROUP = f"health{secrets.token_hex(4)}.mooring.dev"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KEY = f"resource.customizations.health.{GROUP}_"
DOOR = """\
hs = {status = "Progressing", message = "nobody has opened it"}
if obj.status ~= nil and obj.status.phase == "Open" then
  hs.status = "Healthy"
  hs.message = "it is open"
elseif obj.status ~= nil and obj.status.phase == "Jammed" then
  hs.status = "Degraded"
  hs.message = "it jams"
end
return hs
"""
GATE = f"""\
- apiVersion: {GROUP}/v1
  kind: Gate
  failed: status.phase == 'Jammed'
  current: status.phase == 'Open'
"""
CONFIG = {
    f"{KEY}Door": DOOR,
    f"{KEY}Maze": "while true do end",
    f"{KEY}Thief": "return {status = 'Healthy', message = io.open('/etc/passwd'):read('*a')}",
    f"{KEY}Giant": "local t = {} while true do t[#t + 1] = {} end",
    "resource.healthCheckExprs": GATE,
}


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    return ("intake", "deploy", "slow", "reconcile", "web", "observer")


@pytest.fixture(scope="module")
def ship_config(cluster: Cluster) -> Iterator[dict[str, str]]:
    kinds = ("Door", "Gate", "Maze", "Thief", "Giant")
    for kind in kinds:
        body = definition(GROUP, kind, {"type": "object"})
        (version,) = body["spec"]["versions"]
        version["schema"]["openAPIV3Schema"]["properties"]["status"] = {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
        }
        version["subresources"] = {"status": {}}
        devcluster.ask(cluster, DEFINITIONS, body)

    def served() -> bool:
        with contextlib.suppress(urllib.error.HTTPError):  # its storage takes a moment longer than its name
            for kind in kinds:
                devcluster.ask(cluster, f"/apis/{GROUP}/v1/{kind.lower()}s")
            return True
        return False

    until("the kinds to be served", served)
    yield CONFIG
    for kind in kinds:
        devcluster.ask(cluster, f"{DEFINITIONS}/{kind.lower()}s.{GROUP}", method="DELETE")


def one(kind: str, *, annotations: str = "{}") -> str:
    name = kind.lower()
    return (
        f"apiVersion: {GROUP}/v1\nkind: {kind}\nmetadata:\n  name: {name}\n"
        f"  annotations: {annotations}\nspec: {{}}\n"
    )


def becomes(ship: Ship, namespace: str, kind: str, phase: str) -> None:
    """As its controller would say it."""
    name = kind.lower()
    ship.ask(
        f"/apis/{GROUP}/v1/namespaces/{namespace}/{name}s/{name}/status",
        {"status": {"phase": phase}},
        method="PATCH",
        content_type="application/merge-patch+json",
    )


def told(ship: Ship, app: str, type_: str) -> Any:
    """The messages of its conditions of a type, once there are any."""

    def look() -> Any:
        conditions = ship.app(app).get("status", {}).get("conditions", ())
        return [one["message"] for one in conditions if one["type"] == type_] or None

    return until(f"{app} to say a {type_}", look)


@pytest.mark.parametrize(("kind", "says"), [("Door", "nobody has opened it"), ("Gate", None)])
def test_a_wave_waits_for_a_kind_of_their_own(
    ship: Ship, git_repo: Repository, namespace: str, kind: str, says: str | None
) -> None:
    name = f"own-{kind.lower()}"
    commit = git_repo.commit({"a.yaml": one(kind), "b.yaml": waved(configmap("late", v="1"), 1)})
    ship.create_app(name, git_repo, namespace)
    waits(ship, name, f"waiting for healthy state of {GROUP}/{kind}/{kind.lower()}")
    assert ship.configmap(namespace, "late") is None
    waiting = ship.resource(name, kind.lower(), kind)["health"]
    assert waiting["status"] == "Progressing"
    assert says is None or waiting["message"] == says
    ship.quiet_but(name)

    becomes(ship, namespace, kind, "Open")

    ship.synced(name, commit)
    assert ship.ended(name)["status"]["operationState"]["phase"] == "Succeeded"
    assert ship.configmap(namespace, "late")["data"] == {"v": "1"}
    assert ship.app(name)["status"]["health"]["status"] == "Healthy"


def test_a_wave_that_is_degraded_by_their_own_check_fails_the_sync(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"a.yaml": one("Door"), "b.yaml": waved(configmap("late", v="1"), 1)})
    ship.create_app("jammed", git_repo, namespace)
    waits(ship, "jammed", f"waiting for healthy state of {GROUP}/Door/door")

    becomes(ship, namespace, "Door", "Jammed")

    state = ship.ended("jammed")["status"]["operationState"]
    assert (state["phase"], state["message"]) == ("Failed", f"{GROUP}/Door {namespace}/door: it jams")
    assert ship.configmap(namespace, "late") is None


def test_an_app_is_healthy_once_their_own_check_says_so(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": one("Door"), "b.yaml": one("Gate")})
    ship.create_app("opening", git_repo, namespace)
    assert ship.synced("opening", commit)["status"]["health"]["status"] == "Progressing"

    becomes(ship, namespace, "Door", "Open")
    becomes(ship, namespace, "Gate", "Open")

    app = healthy(ship, "opening")
    opened = ship.resource("opening", "door", "Door")["health"]
    assert opened == {"status": "Healthy", "message": "it is open"}
    assert not app["status"].get("conditions")


def test_a_hook_of_a_kind_of_their_own_ends_when_it_is_healthy(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    hook = one("Door", annotations="{argocd.argoproj.io/hook: PreSync}")
    commit = git_repo.commit({"a.yaml": hook, "b.yaml": configmap("after", v="1")})
    ship.create_app("hooked", git_repo, namespace)
    waits(ship, "hooked", "waiting for completion of hook")
    assert ship.configmap(namespace, "after") is None
    ship.quiet_but("hooked")

    becomes(ship, namespace, "Door", "Open")

    ship.synced("hooked", commit)
    ship.ended("hooked")
    assert results(ship, "hooked") == {"door": ("PreSync", "Succeeded")}


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("Maze", "has not ended after 1 s: look for a loop"),
        ("Thief", "line 1: attempt to index global 'io' (a nil value)"),
        ("Giant", "needs more than 64 MiB of memory"),
    ],
)
def test_a_script_that_would_do_harm_is_told_on_the_app(
    ship: Ship, git_repo: Repository, namespace: str, kind: str, why: str
) -> None:
    app = f"harm-{kind.lower()}"
    commit = git_repo.commit({"a.yaml": one(kind), "b.yaml": configmap("beside", v="1")})
    ship.create_app(app, git_repo, namespace)
    found = ship.synced(app, commit)
    assert ship.ended(app)["status"]["operationState"]["phase"] == "Succeeded"
    assert told(ship, app, "HealthWarning") == [f"{KEY}{kind} {why}"]
    assert found["status"]["health"]["status"] == "Unknown"
    assert ship.resource(app, kind.lower(), kind)["health"]["message"] == f"{KEY}{kind} {why}"


def test_a_check_that_is_edited_is_asked_anew_and_one_that_cannot_be_read_stops_everybody(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.start("beat")
    commit = git_repo.commit({"a.yaml": one("Door")})
    ship.create_app("edited", git_repo, namespace)
    assert ship.synced("edited", commit)["status"]["health"]["status"] == "Progressing"

    def edit(data: dict[str, Any]) -> None:
        path = f"/api/v1/namespaces/{ship.home}/configmaps/argocd-cm"
        ship.ask(path, {"data": data}, method="PATCH", content_type="application/merge-patch+json")

    edit({f"{KEY}Door": "return {status = 'Healthy', message = 'any door will do'}"})
    healthy(ship, "edited")
    assert ship.resource("edited", "door", "Door")["health"]["message"] == "any door will do"

    edit({"resource.customizations": "a: {"})
    (why,) = told(ship, "edited", "ComparisonError")
    assert why.startswith("ConfigMap argocd-cm, resource.customizations: is no YAML: ")
    ship.read_anew()  # by whoever takes the push, too
    later = git_repo.commit({"a.yaml": one("Door"), "b.yaml": configmap("new", v="1")})
    assert ship.finished(ship.deliver(git_repo, later))["state"] == "failed"
    assert ship.configmap(namespace, "new") is None

    edit({"resource.customizations": None})
    app = ship.synced("edited", later)
    assert ship.configmap(namespace, "new")["data"] == {"v": "1"}
    assert not app["status"].get("conditions")

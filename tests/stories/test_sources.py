"""An app of several sources is the objects of all of them, and follows each of them by itself."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.chartserver import ChartServer
from devcluster.gitserver import GitServer, Repository
from devcluster.registry import Registry, push_artifact
from mooring.names import DEPLOY, TASK_POLL
from tests.stories.ship import Ship, configmap, until
from tests.workers.test_origin import LAYER, archive

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("tools")]


@pytest.fixture
def other_repo(git_server: GitServer) -> Repository:
    return git_server.create(f"other-{secrets.token_hex(5)}")


def source(repo: Repository, path: str = ".", **more: Any) -> dict[str, Any]:
    return {"repoURL": repo.url, "path": path, "targetRevision": "main", **more}


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry(user="sailor", password="hunter2") as server:
        yield server


@pytest.fixture(scope="module")
def charts() -> Iterator[ChartServer]:
    with ChartServer() as server:
        yield server


TEMPLATE = """apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {chart: "{{ .Chart.Version }}", colour: "{{ .Values.colour }}"}
"""


def release(charts: ChartServer, name: str, version: str) -> Path:
    """A version of a chart that is in the repository from now on."""
    files = {"templates/web.yaml": TEMPLATE, "values.yaml": "colour: blue\n"}
    package = charts.chart(name, version, files)
    charts.index()
    return package


def push(registry: Registry, name: str, **files: str) -> str:
    """What the tag `live` of the artifact is from now on; its digest."""
    proof = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    headers = {"Authorization": f"Basic {proof}"}
    return push_artifact(registry.url, name, "live", {LAYER: archive(**files)}, headers=headers)


def opened(ship: Ship, registry: Registry, name: str) -> str:
    """The artifact's URL, with a Secret that opens it."""
    url = f"oci://{registry.host}/{name}"
    data = {"type": "oci", "url": url, "username": registry.user, "password": registry.password}
    labels = {"argocd.argoproj.io/secret-type": "repository"}
    ship.ask(
        f"/api/v1/namespaces/{ship.home}/secrets",
        {
            "metadata": {"name": f"registry-{secrets.token_hex(4)}", "labels": labels},
            "stringData": {**data, "insecureOCIForceHttp": "true"},
        },
    )
    return url


def test_the_objects_of_all_sources_are_deployed_and_each_is_told_of_as_argo_cd_does(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    web = git_repo.commit({"web.yaml": configmap("web")})
    db = other_repo.commit({"db/db.yaml": configmap("db")})
    sources = [source(git_repo), source(other_repo, "db", name="database")]
    ship.create_app("two", git_repo, namespace, spec={"sources": sources})

    status = ship.synced_all("two", web, db)["status"]

    assert ship.configmap(namespace, "web")
    assert ship.configmap(namespace, "db")
    assert status["sync"]["comparedTo"]["sources"] == sources
    assert not status["sync"].get("revision")
    assert status["sourceTypes"] == ["Directory", "Directory"]
    assert not status.get("sourceType")
    state, (entry,) = status["operationState"], status["history"]
    for told in (state["syncResult"], entry):
        assert (told["revisions"], told["sources"]) == ([web, db], sources)
        assert not told.get("revision")
        assert "source" not in told
    assert state["operation"]["sync"]["revisions"] == [web, db]


def test_a_push_to_either_repository_lands_and_the_other_one_is_not_asked(
    ship: Ship, git_repo: Repository, other_repo: Repository, git_server: GitServer, namespace: str
) -> None:
    web = git_repo.commit({"web.yaml": configmap("web", v="1")})
    db = other_repo.commit({"db.yaml": configmap("db", v="1")})
    ship.create_app("either", git_repo, namespace, spec={"sources": [source(git_repo), source(other_repo)]})
    ship.synced_all("either", web, db)
    ship.quiet()

    unseen = other_repo.commit({"db.yaml": configmap("db", v="2")})  # nobody tells of it yet
    web = git_repo.commit({"web.yaml": configmap("web", v="2")})
    told = ship.finished(ship.deliver(git_repo, web))
    assert told["state"] == "succeeded"
    assert [s["note"] for s in told["stages"] if s["name"] == "rendered"] == [f"sources[0] at {web[:12]}"]

    ship.synced_all("either", web, db)
    assert ship.configmap(namespace, "web")["data"] == {"v": "2"}
    assert ship.configmap(namespace, "db")["data"] == {"v": "1"}, "where it was when it was last looked at"

    assert ship.finished(ship.deliver(other_repo, unseen))["state"] == "succeeded"
    ship.synced_all("either", web, unseen)
    assert ship.configmap(namespace, "db")["data"] == {"v": "2"}


def test_pushes_to_both_at_once_both_land(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"web.yaml": configmap("web", v="0")})
    second = other_repo.commit({"db.yaml": configmap("db", v="0")})
    ship.create_app("both", git_repo, namespace, spec={"sources": [source(git_repo), source(other_repo)]})
    ship.synced_all("both", first, second)

    deliveries = []
    for number in range(1, 6):
        first = git_repo.commit({"web.yaml": configmap("web", v=str(number))})
        second = other_repo.commit({"db.yaml": configmap("db", v=str(number))})
        deliveries += [ship.deliver(git_repo, first), ship.deliver(other_repo, second)]

    assert {ship.finished(delivery)["state"] for delivery in deliveries} == {"succeeded"}
    ship.synced_all("both", first, second)
    assert ship.configmap(namespace, "web")["data"] == {"v": "5"}
    assert ship.configmap(namespace, "db")["data"] == {"v": "5"}


def test_a_push_that_touches_nothing_of_one_source_moves_its_revision_alone(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    web = git_repo.commit({"web/web.yaml": configmap("web")})
    db = other_repo.commit({"db.yaml": configmap("db")})
    sources = [source(other_repo), source(git_repo, "web")]
    ship.create_app("apart", git_repo, namespace, spec={"sources": sources})
    ship.synced_all("apart", db, web)
    ship.quiet()
    before = ship.app("apart")["status"]

    after = git_repo.commit({"README": "nobody reads it"})
    ship.deliver(git_repo, after)

    moved = ship.synced_all("apart", db, after)["status"]
    read = ship.mooring("app", "reads", "apart").stdout.splitlines()
    assert [read.index(f"Source {n}: {repo.url}") for n, repo in ((1, other_repo), (2, git_repo))] == [0, 3]
    assert moved["reconciledAt"] == before["reconciledAt"]
    assert moved["history"] == before["history"]


def test_a_source_that_others_only_refer_to_renders_nothing(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    web = git_repo.commit({"web.yaml": configmap("web")})
    values = other_repo.commit({"stray.yaml": configmap("stray")})
    named = {"repoURL": other_repo.url, "targetRevision": "main", "ref": "values"}
    ship.create_app("refers", git_repo, namespace, spec={"sources": [source(git_repo), named]})

    app = ship.synced_all("refers", web, values)

    assert ship.configmap(namespace, "stray") is None
    assert [one["name"] for one in app["status"]["resources"]] == ["web"]
    assert app["status"]["sourceTypes"] == ["Directory", ""]


def test_two_sources_of_one_name_are_refused_and_so_is_one_that_the_project_does_not_permit(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"web.yaml": configmap("web")})
    sources = [source(git_repo, ref="files"), source(git_repo, ref="files")]
    ship.create_app("namesakes", git_repo, namespace, spec={"sources": sources})
    assert ship.condition("namesakes", "spec.sources[1].ref")["type"] == "InvalidSpecError"

    name = f"narrow-{secrets.token_hex(4)}"
    spec = {"sourceRepos": [git_repo.url], "destinations": [{"server": "*", "namespace": "*"}]}
    project = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject"}
    ship.ask(
        f"/apis/argoproj.io/v1alpha1/namespaces/{ship.home}/appprojects",
        {**project, "metadata": {"name": name, "namespace": ship.home}, "spec": spec},
    )
    two = [source(git_repo), source(other_repo)]
    ship.create_app("not-permitted", git_repo, namespace, spec={"sources": two, "project": name})
    ship.condition("not-permitted", f"does not permit the repository {other_repo.url}")
    assert ship.configmap(namespace, "web") is None, "nothing of the app, not even what is permitted"


def test_while_one_source_cannot_be_rendered_nothing_is_pruned(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    web = git_repo.commit({name: configmap(name[:-5]) for name in ("a.yaml", "b.yaml", "c.yaml")})
    db = other_repo.commit({"db.yaml": configmap("db")})
    ship.create_app("broken", git_repo, namespace, spec={"sources": [source(git_repo), source(other_repo)]})
    ship.synced_all("broken", web, db)

    bad = other_repo.commit({"db.yaml": "kind: [\n"})
    assert ship.finished(ship.deliver(other_repo, bad))["state"] == "failed"
    assert "spec.sources[1]: db.yaml" in ship.condition("broken", "db.yaml")["message"]
    web = git_repo.commit({"a.yaml": None})
    assert ship.finished(ship.deliver(git_repo, web))["state"] == "failed"
    for name in ("a", "b", "c", "db"):
        assert ship.configmap(namespace, name), name

    good = other_repo.commit({"db.yaml": configmap("db", v="2")})
    ship.deliver(other_repo, good)
    ship.synced_all("broken", web, good)
    until("what left Git meanwhile to be gone", lambda: ship.configmap(namespace, "a") is None)
    assert ship.configmap(namespace, "db")["data"] == {"v": "2"}


def gone(ship: Ship, namespace: str, name: str) -> None:
    until(f"{name} to be gone", lambda: ship.configmap(namespace, name) is None)


def test_the_objects_of_a_source_that_leaves_the_spec_are_pruned_where_that_is_allowed(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    web = git_repo.commit({name: configmap(name[:-5]) for name in ("a.yaml", "b.yaml", "c.yaml")})
    db = other_repo.commit({"db.yaml": configmap("db")})
    for name, prune in (("leaves", True), ("stays", False)):
        to = namespace if prune else f"{namespace}-keep"
        spec = {"sources": [source(git_repo), source(other_repo)]}
        policy = {"syncOptions": ["CreateNamespace=true"]}
        ship.create_app(name, git_repo, to, spec=spec, policy=policy, prune=prune)
        ship.synced_all(name, web, db)

        ship.patch_app(name, {"spec": {"sources": [source(git_repo)]}})

        ship.synced_all(name, web, status="Synced" if prune else "OutOfSync")
        if prune:
            gone(ship, to, "db")
        assert ship.configmap(to, "a")
    assert ship.configmap(f"{namespace}-keep", "db")
    ship.ask(f"/api/v1/namespaces/{namespace}-keep", method="DELETE")


def test_an_app_goes_from_one_source_to_several_and_back_and_nothing_is_written_anew(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    web = git_repo.commit({"web.yaml": configmap("web")})
    db = other_repo.commit({"db.yaml": configmap("db")})
    ship.create_app("grows", git_repo, namespace)
    ship.synced("grows", web)
    version = ship.configmap(namespace, "web")["metadata"]["resourceVersion"]

    both = [source(git_repo), source(other_repo)]
    ship.patch_app("grows", {"spec": {"source": None, "sources": both}})
    app = ship.synced_all("grows", web, db)
    assert not app["status"]["sync"].get("revision")
    assert "source" not in app["status"]["sync"]["comparedTo"]

    ship.patch_app("grows", {"spec": {"source": source(git_repo), "sources": None}})
    app = ship.synced("grows", web)
    until("what only the other source had to be gone", lambda: ship.configmap(namespace, "db") is None)
    assert not app["status"]["sync"].get("revisions")
    assert ship.configmap(namespace, "web")["metadata"]["resourceVersion"] == version


def test_an_operation_goes_to_the_revisions_that_it_names_and_one_without_a_place_is_refused(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    old = git_repo.commit({"web.yaml": configmap("web", v="old")})
    git_repo.commit({"web.yaml": configmap("web", v="new")})
    db = other_repo.commit({"db.yaml": configmap("db")})
    both = [source(git_repo), source(other_repo)]
    ship.create_app("by-hand", git_repo, namespace, auto=False, spec={"sources": both})

    app = ship.operate("by-hand", revisions=[old, ""])
    assert app["status"]["operationState"]["phase"] == "Succeeded"
    assert app["status"]["history"][-1]["revisions"] == [old, db]
    assert ship.configmap(namespace, "web")["data"] == {"v": "old"}

    for wrong in ({"revision": old}, {"revisions": [old]}):
        state = ship.operate("by-hand", **wrong)["status"]["operationState"]
        assert state["phase"] == "Error"
        assert "operation.sync.revision" in state["message"]


def test_a_rollback_as_argo_cd_asks_for_it_brings_sources_of_its_own(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    old = git_repo.commit({"web.yaml": configmap("web", v="old")})
    db = other_repo.commit({"db.yaml": configmap("db")})
    both = [source(git_repo), source(other_repo)]
    ship.create_app("back", git_repo, namespace, auto=False, spec={"sources": both})
    ship.synced_all("back", old, db, status="OutOfSync")
    ship.operate("back")
    new = git_repo.commit({"web.yaml": configmap("web", v="new")})
    ship.deliver(git_repo, new)
    ship.synced_all("back", new, db, status="OutOfSync")
    ship.operate("back")
    assert ship.configmap(namespace, "web")["data"] == {"v": "new"}

    app = ship.operate("back", source={"repoURL": ""}, sources=both, revisions=[old, db])

    assert app["status"]["operationState"]["phase"] == "Succeeded"
    assert ship.configmap(namespace, "web")["data"] == {"v": "old"}
    assert app["status"]["history"][-1]["revisions"] == [old, db]


def test_a_poll_finds_what_was_pushed_to_any_source_and_never_told(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str
) -> None:
    web = git_repo.commit({"web.yaml": configmap("web")})
    db = other_repo.commit({"db.yaml": configmap("db", v="1")})
    ship.create_app("polled", git_repo, namespace, spec={"sources": [source(git_repo), source(other_repo)]})
    ship.synced_all("polled", web, db)
    ship.quiet()

    db = other_repo.commit({"db.yaml": configmap("db", v="2")})
    ship.send(DEPLOY, TASK_POLL)

    ship.synced_all("polled", web, db)
    assert ship.configmap(namespace, "db")["data"] == {"v": "2"}


def test_an_artifact_of_a_registry_is_deployed_and_a_poll_finds_what_its_tag_is_now(
    ship: Ship, git_repo: Repository, registry: Registry, namespace: str
) -> None:
    name = f"team/app-{secrets.token_hex(4)}"
    url, first = opened(ship, registry, name), push(registry, name, db=configmap("db", v="1"))
    web = git_repo.commit({"web.yaml": configmap("web")})
    artifact = {"repoURL": url, "path": ".", "targetRevision": "live"}
    ship.create_app("artifact", git_repo, namespace, spec={"sources": [source(git_repo), artifact]})
    ship.synced_all("artifact", web, first)
    assert ship.configmap(namespace, "db")["data"] == {"v": "1"}
    ship.quiet()

    second = push(registry, name, db=configmap("db", v="2"))
    web = git_repo.commit({"web.yaml": configmap("web", v="2")})
    ship.finished(ship.deliver(git_repo, web))
    ship.synced_all("artifact", web, first)
    assert ship.configmap(namespace, "db")["data"] == {"v": "1"}, "a push to Git asks no registry"
    ship.send(DEPLOY, TASK_POLL)

    ship.synced_all("artifact", web, second)
    assert ship.configmap(namespace, "db")["data"] == {"v": "2"}


def test_an_app_of_an_artifact_alone_goes_back_to_a_digest_of_its_history(
    ship: Ship, git_repo: Repository, registry: Registry, namespace: str
) -> None:
    name = f"team/app-{secrets.token_hex(4)}"
    url, first = opened(ship, registry, name), push(registry, name, db=configmap("db", v="1"))
    spec = {"source": {"repoURL": url, "path": ".", "targetRevision": "live"}}
    ship.create_app("only-artifact", git_repo, namespace, auto=False, spec=spec)
    ship.synced("only-artifact", first, status="OutOfSync")
    ship.operate("only-artifact")
    second = push(registry, name, db=configmap("db", v="2"))
    ship.operate("only-artifact")
    app = ship.synced("only-artifact", second)
    assert [entry["revision"] for entry in app["status"]["history"]] == [first, second]

    ship.operate("only-artifact", revision=first)

    ship.synced("only-artifact", first)
    assert ship.configmap(namespace, "db")["data"] == {"v": "1"}


def test_an_artifact_that_nobody_lets_us_have_says_so_and_the_other_source_is_not_deployed(
    ship: Ship, git_repo: Repository, registry: Registry, namespace: str
) -> None:
    push(registry, "team/closed", db=configmap("db"))
    git_repo.commit({"web.yaml": configmap("web")})
    closed = {"repoURL": f"oci://{registry.host}/team/closed", "path": ".", "targetRevision": "live"}
    ship.create_app("closed", git_repo, namespace, spec={"sources": [source(git_repo), closed]})

    told = ship.condition("closed", registry.host)["message"]

    assert "hunter2" not in told
    assert ship.configmap(namespace, "web") is None


def test_a_chart_of_a_repository_with_values_from_git_follows_both(
    ship: Ship, git_repo: Repository, charts: ChartServer, namespace: str
) -> None:
    name = f"web-{secrets.token_hex(4)}"
    release(charts, name, "1.0.0")
    values = git_repo.commit({"env/prod.yaml": "colour: green\n", "env/other.yaml": "colour: grey\n"})
    helm = {"valueFiles": ["$values/env/prod.yaml"]}
    chart = {"repoURL": charts.url, "chart": name, "targetRevision": "1.x", "helm": helm}
    named = {"repoURL": git_repo.url, "targetRevision": "main", "ref": "values"}
    ship.create_app("chart", git_repo, namespace, spec={"sources": [chart, named]})
    ship.synced_all("chart", "1.0.0", values)
    assert ship.configmap(namespace, "web")["data"] == {"chart": "1.0.0", "colour": "green"}
    ship.quiet()

    asked = len(charts.requests)
    values = git_repo.commit({"env/prod.yaml": "colour: red\n"})
    ship.deliver(git_repo, values)
    ship.synced_all("chart", "1.0.0", values)
    assert ship.configmap(namespace, "web")["data"] == {"chart": "1.0.0", "colour": "red"}
    ship.quiet()
    before = ship.app("chart")["status"]["reconciledAt"]
    values = git_repo.commit({"env/other.yaml": "colour: black\n"})
    ship.deliver(git_repo, values)
    assert ship.synced_all("chart", "1.0.0", values)["status"]["reconciledAt"] == before, "of no concern"
    assert len(charts.requests) == asked, "a push to Git asks no chart repository"

    release(charts, name, "1.1.0")
    release(charts, name, "2.0.0")
    ship.send(DEPLOY, TASK_POLL)
    ship.synced_all("chart", "1.1.0", values)
    assert ship.configmap(namespace, "web")["data"] == {"chart": "1.1.0", "colour": "red"}


def test_a_chart_at_one_version_is_not_asked_for_again_and_one_that_is_missing_says_so(
    ship: Ship, git_repo: Repository, charts: ChartServer, namespace: str
) -> None:
    name = f"web-{secrets.token_hex(4)}"
    release(charts, name, "1.0.0")
    chart = {"repoURL": charts.url, "chart": name, "targetRevision": "1.0.0"}
    ship.create_app("exact", git_repo, namespace, spec={"source": chart})
    app = ship.synced("exact", "1.0.0")
    assert app["status"]["sourceType"] == "Helm"
    ship.quiet()

    asked = len(charts.requests)
    ship.send(DEPLOY, TASK_POLL)
    ship.quiet()
    assert len(charts.requests) == asked

    ship.patch_app("exact", {"spec": {"source": {"targetRevision": "3.0.0"}}})
    assert name in ship.condition("exact", "3.0.0")["message"]
    assert ship.configmap(namespace, "web")["data"] == {"chart": "1.0.0", "colour": "blue"}


def test_a_chart_of_a_registry_is_rolled_back_to_an_earlier_version(
    ship: Ship, git_repo: Repository, charts: ChartServer, registry: Registry, namespace: str
) -> None:
    name = f"web-{secrets.token_hex(4)}"
    opened(ship, registry, "charts")
    registry.push_chart(release(charts, name, "1.0.0"))
    spec = {
        "source": {"repoURL": f"oci://{registry.host}/charts", "chart": name, "targetRevision": "^1"},
    }
    ship.create_app("oci-chart", git_repo, namespace, auto=False, spec=spec)
    ship.synced("oci-chart", "1.0.0", status="OutOfSync")
    ship.operate("oci-chart")
    registry.push_chart(release(charts, name, "1.1.0"))
    ship.operate("oci-chart")
    ship.synced("oci-chart", "1.1.0")
    assert ship.configmap(namespace, "web")["data"]["chart"] == "1.1.0"

    ship.operate("oci-chart", revision="1.0.0")

    ship.synced("oci-chart", "1.0.0")
    assert ship.configmap(namespace, "web")["data"]["chart"] == "1.0.0"

"""The observer: what happens in the cluster is heard at once, and nothing depends on that it is.

These stories have no beat, so nothing is looked at because its time has come: what goes on, the observer has
woken. Only what was put off, for a server had no answer at that moment, is tried again as beat would.
"""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster.cluster import Cluster
from devcluster.gitserver import GitServer, Repository
from mooring.keys import AppKey
from mooring.names import OBSERVER_LEASE, TASK_TURN
from tests.stories.line import Line, kubeconfig_by
from tests.stories.ship import APPS, Ship, configmap, until
from tests.stories.test_delete_hooks import AFTER, BEFORE, finalizers
from tests.stories.test_deletion import CASCADE, HOLD, delete, deployed, gone, in_wave, manifest
from tests.stories.test_hooks import RUN, ends, job, jobs, results
from tests.stories.test_permissions import MERGE, project
from tests.stories.test_sync_windows import FREEZE, held, windows
from tests.stories.test_waves import DEPLOYMENT, DOOR, FILES, opened, status, waits, waved

pytestmark = pytest.mark.cluster
LEASE = "observer holds the lease"


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    return ("intake", "deploy", "slow", "reconcile", "web", "observer")


@pytest.fixture(scope="module")
def ship_settings(
    cluster: Cluster, api_line: Line, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    kubeconfig = kubeconfig_by(cluster, api_line.port, tmp_path_factory.mktemp("kube"))
    return {"MOORING_KUBECONFIG": str(kubeconfig)}


@pytest.fixture(autouse=True)
def _what_was_put_off_is_tried_again(ship: Ship) -> Iterator[None]:
    with ship.sends_due(TASK_TURN):  # looks that are due have another
        yield


def service(name: str, wave: int, *finalizers: str) -> dict[str, str]:
    return manifest(name, in_wave(wave), finalizers, kind="Service", spec={"ports": [{"port": 80}]})


def let_go(ship: Ship, path: str) -> None:
    """Takes off the finalizers of an object that is being deleted."""
    ship.ask(f"/api/v1/namespaces/{path}", {"metadata": {"finalizers": None}}, **MERGE)


def wishes(ship: Ship, name: str) -> int:
    """How often anything was wanted of the app."""
    with ship.redis() as client:
        return int(client.hget(f"mooring:turn:app:{AppKey(ship.home, name)}", "wanted") or 0)


def healthy(ship: Ship, name: str) -> Any:
    def look() -> Any:
        app = ship.app(name)
        return app if app["status"]["health"]["status"] == "Healthy" else None

    return until(f"{name} to be healthy", look)


def test_what_is_written_on_an_application_is_taken_up_at_once(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1"), "other/b.yaml": configmap("b", v="1")})
    ship.create_app("written", git_repo, namespace, auto=False)
    ship.synced("written", first, status="OutOfSync")  # that there is a new one

    assert ship.operate("written")["status"]["operationState"]["phase"] == "Succeeded"

    second = git_repo.commit({"a.yaml": configmap("a", v="2")})
    ship.refresh("written")
    ship.synced("written", second, status="OutOfSync")

    ship.patch_app("written", {"spec": {"source": {"path": "other"}}})  # an edit
    until("the other path to be compared", lambda: ship.resource("written", "b"))


def test_the_next_wave_comes_with_the_event_that_the_last_one_is_healthy(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit(FILES)
    ship.create_app("event", git_repo, namespace)
    waits(ship, "event", "waiting for healthy state of /Service/door")

    opened(ship, namespace)

    ship.synced("event", commit)
    assert ship.ended("event")["status"]["operationState"]["phase"] == "Succeeded"
    assert ship.configmap(namespace, "late")["data"] == {"v": "1"}


def test_five_waves_of_deployments_go_through(ship: Ship, git_repo: Repository, namespace: str) -> None:
    files = {
        f"{wave}.yaml": waved(
            DEPLOYMENT.replace("metadata: {name: web}", f"metadata:\n  name: web-{wave}"), wave
        )
        for wave in range(5)
    }
    commit = git_repo.commit(files)
    ship.create_app("through", git_repo, namespace)

    ship.synced("through", commit)
    assert ship.ended("through")["status"]["operationState"]["phase"] == "Succeeded"


def test_a_sync_goes_on_with_the_event_that_its_hook_has_ended(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {"before.yaml": job("before", RUN, hook="PreSync"), "after.yaml": job("after", hook="PostSync")}
    commit = git_repo.commit({**files, "a.yaml": configmap("a", v="1")})
    ship.create_app("hooked", git_repo, namespace)
    waits(ship, "hooked", "waiting for completion of hook")
    assert ship.configmap(namespace, "a") is None
    ship.quiet_but("hooked")

    ends(ship, namespace, "before")

    ship.synced("hooked", commit)
    assert ship.ended("hooked")["status"]["operationState"]["phase"] == "Succeeded"
    assert results(ship, "hooked") == {"before": ("PreSync", "Succeeded"), "after": ("PostSync", "Succeeded")}


def test_an_application_becomes_healthy_with_its_objects(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": DEPLOYMENT, "b.yaml": DOOR})
    ship.create_app("progressing", git_repo, namespace)
    app = ship.synced("progressing", commit)
    assert app["status"]["health"]["status"] == "Progressing"

    opened(ship, namespace)

    healthy(ship, "progressing")


def test_an_application_is_as_healthy_as_its_objects_become_later(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"b.yaml": DOOR})
    ship.create_app("ails", git_repo, namespace)
    ship.synced("ails", commit)
    opened(ship, namespace)
    healthy(ship, "ails")
    ship.quiet_but("ails")

    status(ship, namespace, "services", "door", {"loadBalancer": {"ingress": None}})
    until("it to progress", lambda: ship.app("ails")["status"]["health"]["status"] == "Progressing")

    opened(ship, namespace)
    healthy(ship, "ails")


SLOWLY = DEPLOYMENT.replace("spec:\n", "spec:\n  minReadySeconds: 3\n", 1)


def test_where_only_the_health_has_moved_nothing_else_is_looked_at(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": SLOWLY, "b.yaml": configmap("b", v="1")})
    ship.create_app("mending", git_repo, namespace)
    ship.synced("mending", commit)
    ship.quiet_but("mending")
    looked_at = ship.app("mending")["status"]["reconciledAt"]

    status = healthy(ship, "mending")["status"]

    assert status["reconciledAt"] == looked_at
    assert status["health"]["lastTransitionTime"] > looked_at
    assert ship.resource("mending", "web", "Deployment")["health"]["status"] == "Healthy"
    assert status["sync"]["status"] == "Synced"


def test_what_was_changed_meanwhile_is_found_when_the_health_is_looked_at(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": SLOWLY})
    ship.create_app("changed", git_repo, namespace)
    ship.synced("changed", commit)
    image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example.org/x"}]
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    ship.ask(path, image, method="PATCH", content_type="application/json-patch+json")

    ship.synced("changed", commit, status="OutOfSync")


def test_an_application_that_an_app_deploys_is_put_back_at_once_and_wakes_nobody_by_its_own_status(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    child = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "child", "labels": {"by": "git"}},
        "spec": {
            "project": "default",
            "source": {"repoURL": git_repo.url, "path": "child", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {"selfHeal": True}},
        },
    }
    files = {
        "apps/child.json": json.dumps(child),
        "child/a.yaml": configmap("a"),
        "other/b.yaml": configmap("b"),
    }
    commit = git_repo.commit(files)
    ship.create_app("parent", git_repo, ship.home, path="apps", selfHeal=True)
    ship.synced("parent", commit)
    ship.synced("child", commit)

    ship.patch_app("child", {"spec": {"source": {"path": "other"}}})
    until("its spec to be put back", lambda: ship.app("child")["spec"]["source"]["path"] == "child")
    ship.patch_app("child", {"metadata": {"labels": {"by": "hand"}}})
    until("its label to be put back", lambda: ship.app("child")["metadata"]["labels"]["by"] == "git")
    ship.quiet()

    # It is looked at, synced and refreshed, which is all written onto the object, and heard.
    before = wishes(ship, "parent")
    for _ in range(3):
        ship.refresh("child")
        ship.quiet()  # what is wished again while the same is just being done is left to beat
    assert ship.operate("child")["status"]["operationState"]["phase"] == "Succeeded"
    ship.patch_app("child", {"metadata": {"labels": {"by": "hand"}}})
    until("its label to be put back", lambda: ship.app("child")["metadata"]["labels"]["by"] == "git")
    assert wishes(ship, "parent") == before + 1, "by the last edit alone"


def test_what_a_window_holds_goes_on_with_the_edit_of_the_project(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    project(ship, "thaws", syncWindows=[FREEZE])
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("thaws", git_repo, namespace, spec={"project": "thaws"})
    held(ship, "thaws")
    ship.quiet_but("thaws")

    windows(ship, "thaws")

    ship.synced("thaws", commit)
    assert ship.configmap(namespace, "a")
    ship.unsaid("thaws", "held")


def test_what_a_project_does_not_permit_goes_on_once_it_does(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{ship.home}/appprojects/opens"
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("opens", git_repo, namespace, spec={"project": "opens"})
    ship.condition("opens", "project opens does not exist")
    ship.quiet_but("opens")

    project(ship, "opens", destinations=[{"server": "*", "namespace": "elsewhere"}])
    ship.condition("opens", "does not permit the destination")
    ship.quiet_but("opens")
    ship.ask(path, {"spec": {"destinations": [{"server": "*", "namespace": namespace}]}}, **MERGE)

    ship.synced("opens", commit)
    assert ship.configmap(namespace, "a")


def test_the_edit_of_a_project_wakes_its_own_apps_and_what_is_not_of_its_spec_wakes_nobody(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({f"{name}/a.yaml": configmap(name, v="1") for name in ("edited", "annotated")})
    for name in ("edited", "annotated"):
        project(ship, name, syncWindows=[FREEZE])
        ship.create_app(name, git_repo, namespace, path=name, spec={"project": name})
        held(ship, name)
    ship.quiet_but("edited", "annotated")
    before = wishes(ship, "annotated")

    path = APPS.format(ship.home).replace("/applications", "/appprojects/annotated")
    ship.ask(path, {"metadata": {"annotations": {"example.org/by": "somebody"}}}, **MERGE)
    windows(ship, "edited")

    ship.synced("edited", commit)
    assert wishes(ship, "annotated") == before
    held(ship, "annotated")


def test_an_edit_of_argocd_cm_has_the_apps_compared_anew_that_it_says_something_else_of(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("ruled", git_repo, namespace)
    ship.synced("ruled", commit)
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/a", {"data": {"v": "theirs"}}, **MERGE)
    ship.synced("ruled", commit, status="OutOfSync")
    ship.quiet_but("ruled")

    path = f"/api/v1/namespaces/{ship.home}/configmaps"
    rules = {"resource.customizations.ignoreDifferences.ConfigMap": "jsonPointers: [/data/v]"}
    ship.ask(path, {"metadata": {"name": "argocd-cm"}, "data": rules})
    try:
        ship.synced("ruled", commit)
        ship.quiet_but("ruled")
    finally:
        ship.ask(f"{path}/argocd-cm", method="DELETE")
    ship.synced("ruled", commit, status="OutOfSync")
    assert ship.configmap(namespace, "a")["data"] == {"v": "theirs"}


def test_a_deletion_goes_on_with_the_event_that_what_it_waits_for_is_gone(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {
        **manifest("config", in_wave(2)),
        **service("third", 2, HOLD),
        **service("third-too", 2, HOLD),
        **manifest("second", in_wave(1), [HOLD], kind="ServiceAccount"),  # of a kind that has no health
        **service("first", 0),
    }
    deployed(ship, "leaves", git_repo, namespace, files)
    ship.quiet_but("leaves")

    delete(ship, "leaves")
    ship.condition("leaves", f"Service {namespace}/third")
    # Whether a ConfigMap is gone is heard by nobody, and the garbage collector takes its time.
    until("the ConfigMap to be gone", lambda: ship.configmap(namespace, "config") is None)
    ship.quiet_but("leaves")
    let_go(ship, f"{namespace}/services/third")
    let_go(ship, f"{namespace}/services/third-too")

    ship.condition("leaves", f"ServiceAccount {namespace}/second")
    ship.quiet_but("leaves")
    let_go(ship, f"{namespace}/serviceaccounts/second")

    gone(ship, "leaves")
    assert ship.find(f"/api/v1/namespaces/{namespace}/services/first") is None


def test_a_deletion_goes_on_with_the_event_that_its_hook_has_ended(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {
        **service("door", 0),
        "before.yaml": job("before", RUN, hook="PreDelete"),
        "after.yaml": job("after", RUN, hook="PostDelete", hook_delete_policy="HookSucceeded"),
    }
    commit = git_repo.commit(files)
    ship.create_app("around", git_repo, namespace)
    ship.synced("around", commit)
    ship.ended("around")
    until("its hooks' finalizers", lambda: finalizers(ship, "around") == [*BEFORE, *AFTER])
    ship.quiet_but("around")
    ship.patch_app("around", {"metadata": {"finalizers": [*BEFORE, *AFTER, CASCADE]}})

    delete(ship, "around")
    ship.condition("around", "waits for PreDelete hook batch/Job")
    ship.quiet_but("around")
    ends(ship, namespace, "before")

    ship.condition("around", "waits for PostDelete hook batch/Job")
    assert ship.find(f"/api/v1/namespaces/{namespace}/services/door") is None
    ship.quiet_but("around")
    ends(ship, namespace, "after")

    gone(ship, "around")
    assert jobs(ship, namespace) == {}


def test_an_application_of_applications_goes_on_with_the_event_that_the_last_of_them_is_gone(
    ship: Ship, git_server: GitServer, git_repo: Repository, namespace: str
) -> None:
    inner = git_server.create(f"repo-{secrets.token_hex(5)}")
    commit = inner.commit(service("inner", 0, HOLD))
    child = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "child", "namespace": ship.home, "finalizers": [CASCADE]},
        "spec": {
            "project": "default",
            "source": {"repoURL": inner.url, "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {}},
        },
    }
    deployed(ship, "parent", git_repo, namespace, {"child.yaml": json.dumps(child)})
    ship.synced("child", commit)

    delete(ship, "parent")
    ship.condition("child", "waits for Service")
    ship.condition("parent", f"{ship.home}/child")
    ship.quiet_but("parent", "child")
    let_go(ship, f"{namespace}/services/inner")

    gone(ship, "parent")
    assert ship.app("child") is None


def test_an_application_that_others_depend_on_goes_with_the_event_that_they_are_gone(
    ship: Ship, git_server: GitServer, git_repo: Repository, namespace: str
) -> None:
    other = git_server.create(f"repo-{secrets.token_hex(5)}")
    deployed(ship, "lower", other, namespace, service("under", 0))
    annotations = {"mooring.dev/depends-on": "lower"}
    deployed(ship, "upper", git_repo, namespace, service("over", 0, HOLD), annotations=annotations)
    delete(ship, "upper")
    ship.condition("upper", "waits for Service")
    delete(ship, "lower")
    ship.condition("lower", "waits for upper, which depends on it")
    ship.quiet_but("lower", "upper")

    ship.patch_app("upper", {"metadata": {"finalizers": None}})  # by hand: no worker sees it go

    gone(ship, "lower")
    assert ship.find(f"/api/v1/namespaces/{namespace}/services/under") is None
    let_go(ship, f"{namespace}/services/over")


def test_what_changes_nothing_wakes_nobody(ship: Ship, git_repo: Repository, namespace: str) -> None:
    commit = git_repo.commit(FILES)
    ship.create_app("calm", git_repo, namespace)
    waits(ship, "calm", "Service/door")
    ship.quiet_but("calm")
    before = wishes(ship, "calm")

    for number in range(20):
        condition = {
            "type": "Ready",
            "status": "False",
            "reason": f"Try{number}",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status(ship, namespace, "services", "door", {"conditions": [condition]})
    opened(ship, namespace)
    ship.synced("calm", commit)

    assert wishes(ship, "calm") == before + 1


def healing(ship: Ship, repo: Repository, namespace: str, name: str, files: dict[str, str]) -> None:
    commit = repo.commit(files)
    ship.create_app(name, repo, namespace, selfHeal=True)
    ship.synced(name, commit)
    ship.ended(name)
    ship.quiet_but(name)


def edit(ship: Ship, namespace: str, name: str, value: str) -> None:
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/{name}", {"data": {"v": value}}, **MERGE)


def healed(ship: Ship, namespace: str, name: str) -> None:
    until(f"{name} to be put back", lambda: ship.configmap(namespace, name)["data"]["v"] == "1")


def test_what_is_edited_is_put_back_with_the_event(ship: Ship, git_repo: Repository, namespace: str) -> None:
    files = {"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b", v="1"), "web.yaml": DEPLOYMENT}
    healing(ship, git_repo, namespace, "edited-live", files)

    edit(ship, namespace, "a", "2")
    healed(ship, namespace, "a")

    web = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example.org/x"}]
    before = ship.ask(web)["spec"]["template"]
    ship.ask(web, image, method="PATCH", content_type="application/json-patch+json")
    until("the image to be put back", lambda: ship.ask(web)["spec"]["template"] == before)

    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/b", method="DELETE")
    until("b to be there again", lambda: ship.configmap(namespace, "b"))


def test_what_is_edited_without_self_heal_is_shown_with_the_event(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("shown", git_repo, namespace)
    ship.synced("shown", commit)
    ship.ended("shown")

    edit(ship, namespace, "a", "2")

    ship.synced("shown", commit, status="OutOfSync")
    assert ship.configmap(namespace, "a")["data"] == {"v": "2"}


def test_what_is_edited_while_the_api_server_is_away_is_put_back_when_it_is_back(
    ship: Ship, git_repo: Repository, namespace: str, api_line: Line
) -> None:
    files = {"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b", v="1")}
    healing(ship, git_repo, namespace, "apart", files)

    api_line.cut()
    try:
        edit(ship, namespace, "a", "2")
        ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/b", method="DELETE")
    finally:
        api_line.mend()

    healed(ship, namespace, "a")
    until("b to be there again", lambda: ship.configmap(namespace, "b"))


def test_what_is_edited_while_no_observer_runs_is_put_back_when_the_next_one_does(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b", v="1")}
    healing(ship, git_repo, namespace, "alone", files)

    ship.kill("observer")
    edit(ship, namespace, "a", "2")
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/b", method="DELETE")
    ship.start("observer")

    healed(ship, namespace, "a")
    until("b to be there again", lambda: ship.configmap(namespace, "b"))


def test_a_sync_of_our_own_wakes_nobody_and_a_burst_of_edits_is_few_looks(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    names = [f"c{number}" for number in range(20)]
    commit = git_repo.commit({f"{name}.yaml": configmap(name, v="1") for name in names})
    ship.create_app("bursts", git_repo, namespace, selfHeal=True)
    ship.synced("bursts", commit)
    ship.ended("bursts")
    before = wishes(ship, "bursts")
    edit(ship, namespace, "c0", "2")  # heard after all that the sync has written
    healed(ship, namespace, "c0")
    ship.quiet_but("bursts")
    assert wishes(ship, "bursts") == before + 1

    ship.signal("observer", signal.SIGSTOP)
    for name in names[1:]:
        edit(ship, namespace, name, "2")
    ship.signal("observer", signal.SIGCONT)
    for name in names[1:]:
        healed(ship, namespace, name)

    assert wishes(ship, "bursts") < before + len(names) / 2


def test_what_happens_while_the_api_server_is_away_is_heard_of_when_it_is_back(
    ship: Ship, git_repo: Repository, namespace: str, api_line: Line
) -> None:
    commit = git_repo.commit(FILES)
    ship.create_app("away", git_repo, namespace)
    waits(ship, "away", "Service/door")
    ship.quiet_but("away")

    api_line.cut()
    try:
        opened(ship, namespace)
    finally:
        api_line.mend()

    ship.synced("away", commit)


def test_without_it_everything_goes_on_by_the_clock(ship: Ship, git_repo: Repository, namespace: str) -> None:
    commit = git_repo.commit(FILES)
    ship.create_app("killed", git_repo, namespace)
    waits(ship, "killed", "Service/door")

    ship.kill("observer")
    opened(ship, namespace)
    ship.start("beat")
    try:
        ship.synced("killed", commit)
    finally:
        ship.end("beat")
        ship.start("observer")


def test_one_of_several_acts_and_the_next_takes_over_when_it_dies(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    with ship.redis() as client:
        ship.end("observer")
        client.delete(OBSERVER_LEASE)
        ship.start("observer")
        until("one to hold the lease", lambda: client.get(OBSERVER_LEASE))
        ship.start("observer-2")
        until("the other to be well", lambda: ship.health("observer-2")[0] == 200)
        holder = client.get(OBSERVER_LEASE)
        commit = git_repo.commit(FILES)
        ship.create_app("several", git_repo, namespace)
        waits(ship, "several", "Service/door")
        assert LEASE not in ship.log("observer-2")

        ship.kill("observer")
        opened(ship, namespace)

        ship.synced("several", commit)
        assert LEASE in ship.log("observer-2")
        assert client.get(OBSERVER_LEASE) != holder


def test_a_change_to_one_of_two_wakes_that_one_alone(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    other = json.loads(
        json.dumps(FILES).replace("door", "gate").replace("early", "soon").replace("late", "then")
    )
    files = {**FILES, **{f"other/{name}": text for name, text in other.items()}}
    git_repo.commit(files)
    ship.create_app("one", git_repo, namespace)
    ship.create_app("two", git_repo, namespace, path="other")
    waits(ship, "one", "Service/door")
    waits(ship, "two", "Service/gate")
    ship.quiet_but("one", "two")

    opened(ship, namespace)

    ship.ended("one")
    assert ship.app("two")["status"]["operationState"]["phase"] == "Running"
    assert ship.configmap(namespace, "then") is None

"""Actions on what an app has deployed: asked for on the command line or by a task, run by the workers on a
real API server, and what becomes of the app after them.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.names import ACTION_MANAGER, APPLYSET_PART_OF, DEPLOY, ID, TASK_ACTION
from mooring.store.connection import connect
from mooring.store.outcomes import Outcome, Outcomes
from tests.stories.gate import Gate, gated
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_foreign_fields import DRIFT
from tests.stories.test_permissions import project

pytestmark = pytest.mark.cluster

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
PLURALS = {
    "Deployment": "apps/v1/namespaces/{}/deployments",
    "StatefulSet": "apps/v1/namespaces/{}/statefulsets",
    "DaemonSet": "apps/v1/namespaces/{}/daemonsets",
    "CronJob": "batch/v1/namespaces/{}/cronjobs",
    "Job": "batch/v1/namespaces/{}/jobs",
}
KEY = "resource.customizations.actions.ConfigMap"
SCRIPTS = """\
discovery.lua: |
  local actions = {hail = {}, loop = {}, thief = {}, steal = {}, disown = {}, secret = {}, keep = {}}
  actions.hail.params = {{name = "whom", default = "all"}}
  return actions
definitions:
- name: hail
  action.lua: |
    local copy = {apiVersion = "v1", kind = "ConfigMap", metadata = {}, data = {from = obj.metadata.name}}
    copy.metadata.name = obj.metadata.name .. "-" .. actionParams.whom
    copy.metadata.namespace = obj.metadata.namespace
    copy.metadata.labels = obj.metadata.labels
    copy.metadata.annotations = {}
    for name, value in pairs(obj.metadata.annotations) do copy.metadata.annotations[name] = value end
    obj.metadata.annotations["example.com/hailed"] = actionParams.whom
    return {{operation = "create", resource = copy}, {operation = "patch", resource = obj}}
- name: loop
  action.lua: while true do end
- name: thief
  action.lua: return io.open("/etc/passwd"):read("*a")
- name: steal
  action.lua: |
    obj.metadata.name = "another"
    return obj
- name: disown
  action.lua: |
    obj.metadata.annotations["mooring.dev/id"] = nil
    return obj
- name: secret
  action.lua: |
    local made = {apiVersion = "v1", kind = "Secret", metadata = {name = "made"}, stringData = obj.data}
    made.metadata.namespace = obj.metadata.namespace
    return {{operation = "create", resource = made}}
- name: keep
  action.lua: return obj
"""


@pytest.fixture(scope="module")
def ship_config() -> dict[str, str]:
    return {KEY: SCRIPTS}


def workload(kind: str, **spec: Any) -> str:
    """One named `web`; `spec` replaces fields of its spec."""
    pods = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "a"}]}}
    own: dict[str, Any] = {"selector": {"matchLabels": {"app": "web"}}, "template": pods}
    if kind == "StatefulSet":
        own["serviceName"] = "web"
    runs = {
        "metadata": {"annotations": {"devcluster.mooring.dev/pod": "run"}},
        "spec": {"containers": [{"name": "web", "image": "a"}], "restartPolicy": "Never"},
    }
    if kind == "Job":
        own = {"template": runs}
    if kind == "CronJob":
        own = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": runs}}}
    group = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    return json.dumps({"apiVersion": group, "kind": kind, "metadata": {"name": "web"}, "spec": own | spec})


def at(ship: Ship, namespace: str, kind: str, name: str = "web") -> Any:
    return ship.find(f"/apis/{PLURALS[kind].format(namespace)}/{name}")


def deployed(ship: Ship, repo: Repository, namespace: str, *manifests: str, **more: Any) -> tuple[str, str]:
    """An app that has these, synced; its name, and the commit."""
    name = f"app-{secrets.token_hex(4)}"
    commit = repo.commit({f"{number}.yaml": text for number, text in enumerate(manifests)})
    ship.create_app(name, repo, namespace, **more)
    ship.synced(name, commit)
    ship.quiet()
    return name, commit


def act(ship: Ship, app: str, action: str, kind: str, *more: str) -> str:
    """What the command prints of an action that goes well."""
    done = ship.mooring("app", "actions", "run", app, action, "--kind", kind, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(ship: Ship, app: str, action: str, kind: str, *more: str) -> str:
    """What the command complains of."""
    done = ship.mooring("app", "actions", "run", app, action, "--kind", kind, *more)
    assert done.returncode == 20, done.stdout + done.stderr
    assert not done.stdout
    return done.stderr


def events(ship: Ship, app: str, reason: str) -> list[str]:
    found = ship.ask(f"/api/v1/namespaces/{ship.home}/events")["items"]
    mine = [one for one in found if one["involvedObject"]["name"] == app]
    return [one["message"] for one in mine if one["reason"] == reason]


def owned(body: Any, manager: str) -> dict[str, Any]:
    """The fields that the manager owns, of the object itself."""
    mine = (one for one in body["metadata"]["managedFields"] if one["manager"] == manager)
    return next((one["fieldsV1"] for one in mine if "subresource" not in one), {})


# --- what is built in -------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_restart_is_no_drift_and_no_sync_takes_it_back(
    ship: Ship, git_repo: Repository, namespace: str, kind: str
) -> None:
    app, _ = deployed(ship, git_repo, namespace, workload(kind), selfHeal=True)
    before = at(ship, namespace, kind)

    assert act(ship, app, "restart", kind) == f"apps/{kind} {namespace}/web: restart: changed\n"

    body = at(ship, namespace, kind)
    restarted = body["spec"]["template"]["metadata"]["annotations"][RESTARTED_AT]
    assert body["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert RESTARTED_AT in json.dumps(owned(body, ACTION_MANAGER))
    assert RESTARTED_AT not in json.dumps(owned(body, "mooring"))
    (said,) = events(ship, app, "ResourceActionRan")
    assert said.endswith(f" ran action restart on apps/{kind} {namespace}/web")

    ship.quiet()
    assert ship.refresh(app)["status"]["sync"]["status"] == "Synced"
    ship.pushed(git_repo, {"0.yaml": workload(kind, minReadySeconds=1), "a.yaml": configmap("a")})
    after = at(ship, namespace, kind)
    assert after["spec"]["minReadySeconds"] == 1
    assert after["spec"]["template"]["metadata"]["annotations"][RESTARTED_AT] == restarted


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_scale_that_git_speaks_of_is_drift_which_self_heal_puts_back(
    ship: Ship, git_repo: Repository, namespace: str, kind: str
) -> None:
    app, commit = deployed(ship, git_repo, namespace, workload(kind, replicas=1))

    told = act(ship, app, "scale", kind, "--resource-name", "web", "--param", "replicas=2")

    assert told == f"apps/{kind} {namespace}/web: scale: changed\n"
    assert at(ship, namespace, kind)["spec"]["replicas"] == 2
    ship.synced(app, commit, status="OutOfSync")
    ship.patch_app(app, {"spec": {"syncPolicy": {"automated": {"selfHeal": True}}}})
    until("it to be put back", lambda: at(ship, namespace, kind)["spec"]["replicas"] == 1)
    ship.synced(app, commit)


def test_a_scale_of_what_git_leaves_open_stays(ship: Ship, git_repo: Repository, namespace: str) -> None:
    app, _ = deployed(ship, git_repo, namespace, workload("Deployment"), selfHeal=True)
    act(ship, app, "scale", "Deployment", "--param", "replicas=2")
    ship.quiet()
    assert ship.refresh(app)["status"]["sync"]["status"] == "Synced"
    assert at(ship, namespace, "Deployment")["spec"]["replicas"] == 2
    complaint = refused(ship, app, "scale", "Deployment", "--param", "replicas=several")
    assert "action scale: replicas=several is no number of replicas" in complaint
    assert events(ship, app, "ResourceActionFailed")


def test_what_an_action_sets_is_no_drift_where_what_others_set_is(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    app, commit = deployed(ship, git_repo, namespace, workload("Deployment"), selfHeal=True)
    ship.patch_app(app, DRIFT)
    act(ship, app, "restart", "Deployment")
    act(ship, app, "scale", "Deployment", "--param", "replicas=2")
    before = at(ship, namespace, "Deployment")
    ship.quiet()
    ship.reconcile(app)
    ship.synced(app, commit)
    after = at(ship, namespace, "Deployment")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["spec"]["replicas"] == 2
    listed = json.loads(ship.mooring("app", "foreign", app, "-o", "json").stdout)
    assert {one["manager"] for one in listed} == {ACTION_MANAGER}


def test_a_deployment_is_paused_and_resumed(ship: Ship, git_repo: Repository, namespace: str) -> None:
    app, _ = deployed(ship, git_repo, namespace, workload("Deployment"))
    assert "action resume is disabled" in refused(ship, app, "resume", "Deployment")
    act(ship, app, "pause", "Deployment")
    assert at(ship, namespace, "Deployment")["spec"]["paused"] is True
    listed = json.loads(ship.mooring("app", "actions", "list", app, "-o", "json").stdout)
    disabled = {one["action"]: one["disabled"] for one in listed}
    assert disabled == {"pause": True, "restart": False, "resume": False, "scale": False}
    shown = ship.mooring("app", "actions", "list", app, "--kind", "Deployment").stdout.splitlines()
    assert [line.split() for line in shown] == [
        ["GROUP", "KIND", "NAMESPACE", "NAME", "ACTION", "DISABLED", "PARAMETERS"],
        ["apps", "Deployment", namespace, "web", "pause", "true"],
        ["apps", "Deployment", namespace, "web", "restart", "false"],
        ["apps", "Deployment", namespace, "web", "resume", "false"],
        ["apps", "Deployment", namespace, "web", "scale", "false", "replicas=1"],
    ]
    act(ship, app, "resume", "Deployment")
    assert not at(ship, namespace, "Deployment")["spec"].get("paused")


def test_the_job_of_a_cron_job_is_its_own_stays_and_can_be_ended_by_name(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    app, _ = deployed(ship, git_repo, namespace, workload("CronJob"), selfHeal=True)

    told = act(ship, app, "create-job", "CronJob")

    assert told.startswith(f"batch/CronJob {namespace}/web: create-job: created batch/Job {namespace}/web-")
    job = told.strip().rpartition("/")[2]
    body = at(ship, namespace, "Job", job)
    (owner,) = body["metadata"]["ownerReferences"]
    cron_job = at(ship, namespace, "CronJob")
    assert (owner["uid"], owner["controller"]) == (cron_job["metadata"]["uid"], True)
    assert body["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert ID not in body["metadata"]["annotations"]
    ship.quiet()
    status = ship.refresh(app)["status"]
    assert [(one["kind"], one["status"]) for one in status["resources"]] == [("CronJob", "Synced")]
    ship.pushed(git_repo, {"a.yaml": configmap("a")})
    assert at(ship, namespace, "Job", job)["metadata"]["uid"] == body["metadata"]["uid"]

    act(ship, app, "terminate", "Job", "--resource-name", job)

    def failed() -> bool:
        conditions = at(ship, namespace, "Job", job)["status"].get("conditions", [])
        return any(one["type"] == "Failed" and one["status"] == "True" for one in conditions)

    until("its controller to end it", failed)
    assert "has no action 'terminate'" in refused(ship, app, "terminate", "Job", "--resource-name", job)


def test_a_cron_job_is_suspended_and_resumed(ship: Ship, git_repo: Repository, namespace: str) -> None:
    app, _ = deployed(ship, git_repo, namespace, workload("CronJob"))
    act(ship, app, "suspend", "CronJob")
    assert at(ship, namespace, "CronJob")["spec"]["suspend"] is True
    act(ship, app, "resume", "CronJob")
    assert at(ship, namespace, "CronJob")["spec"]["suspend"] is False


def test_a_job_is_suspended_resumed_and_ended_even_while_it_is_suspended(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    app, _ = deployed(ship, git_repo, namespace, workload("Job"))

    def says(condition: str, status: str) -> None:
        def look() -> bool:
            found = at(ship, namespace, "Job")["status"].get("conditions", [])
            return any((one["type"], one["status"]) == (condition, status) for one in found)

        until(f"the Job to be {condition} {status}", look)

    act(ship, app, "suspend", "Job")
    says("Suspended", "True")
    act(ship, app, "resume", "Job")
    says("Suspended", "False")
    act(ship, app, "suspend", "Job")
    says("Suspended", "True")
    act(ship, app, "terminate", "Job")
    says("Failed", "True")
    body = at(ship, namespace, "Job")
    assert not body["status"].get("active")
    (ending,) = [one for one in body["status"]["conditions"] if one["type"] == "FailureTarget"]
    assert ending["reason"] == "ManuallyTerminated"


# --- which objects --------------------------------------------------------------------------------------
def test_of_several_objects_one_is_chosen_or_all(ship: Ship, git_repo: Repository, namespace: str) -> None:
    both = [workload("Deployment").replace('"web"', f'"{name}"') for name in ("a", "b")]
    app, _ = deployed(ship, git_repo, namespace, *both)
    complaint = refused(ship, app, "restart", "Deployment")
    assert f"apps/Deployment {namespace}/a, apps/Deployment {namespace}/b fit: choose one by" in complaint
    act(ship, app, "pause", "Deployment", "--resource-name", "b")
    paused = [bool(at(ship, namespace, "Deployment", name)["spec"].get("paused")) for name in ("a", "b")]
    assert paused == [False, True]

    done = ship.mooring("app", "actions", "run", app, "pause", "--kind", "Deployment", "--all")

    assert done.stdout == f"apps/Deployment {namespace}/a: pause: changed\n"
    assert f"apps/Deployment {namespace}/b: action pause is disabled as the object is now" in done.stderr
    assert done.returncode == 20


def test_what_is_not_the_apps_own_is_left_alone(ship: Ship, git_repo: Repository, namespace: str) -> None:
    app, _ = deployed(ship, git_repo, namespace, configmap("a"))
    ship.ask(f"/apis/{PLURALS['Deployment'].format(namespace)}", json.loads(workload("Deployment")))
    before = at(ship, namespace, "Deployment")["metadata"]["generation"]
    complaint = refused(ship, app, "restart", "Deployment", "--resource-name", "web")
    assert f"{app} has no Deployment web: `mooring app resources {app}` lists what it has" in complaint
    assert at(ship, namespace, "Deployment")["metadata"]["generation"] == before
    done = ship.mooring("app", "actions", "run", "nobody", "restart", "--kind", "Deployment")
    assert done.returncode == 13


def test_the_child_of_what_is_not_the_apps_is_none_of_its_own(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    app, _ = deployed(ship, git_repo, namespace, configmap("a"))
    theirs = json.loads(workload("CronJob"))
    path = f"/apis/{PLURALS['CronJob'].format(namespace)}"
    uid = ship.ask(path, theirs)["metadata"]["uid"]
    job = json.loads(workload("Job"))
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "web", "uid": uid, "controller": True}
    job["metadata"]["ownerReferences"] = [owner]
    ship.ask(f"/apis/{PLURALS['Job'].format(namespace)}", job)
    assert f"{app} has no Job web" in refused(ship, app, "suspend", "Job", "--resource-name", "web")
    assert not at(ship, namespace, "Job")["spec"]["suspend"]


def test_what_the_project_does_not_permit_is_neither_changed_nor_made(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    allowed = f"project-{secrets.token_hex(4)}"
    project(ship, allowed)
    app, _ = deployed(
        ship, git_repo, namespace, workload("CronJob"), configmap("a", v="1"), spec={"project": allowed}
    )
    project_path = f"/apis/argoproj.io/v1alpha1/namespaces/{ship.home}/appprojects/{allowed}"

    def forbids(group: str, kind: str) -> None:
        patch = {"spec": {"namespaceResourceBlacklist": [{"group": group, "kind": kind}]}}
        ship.ask(project_path, patch, method="PATCH", content_type="application/merge-patch+json")
        until("it to be known", lambda: "blacklist" in json.dumps(ship.refresh(app)["status"]).lower())

    forbids("batch", "CronJob")
    complaint = refused(ship, app, "suspend", "CronJob")
    assert f"project {allowed} does not permit batch/CronJob" in complaint
    assert not at(ship, namespace, "CronJob")["spec"].get("suspend")

    patch = {"spec": {"namespaceResourceBlacklist": [{"group": "batch", "kind": "Job"}]}}
    ship.ask(project_path, patch, method="PATCH", content_type="application/merge-patch+json")
    until("it to be known", lambda: ship.refresh(app)["status"]["sync"]["status"] == "Synced")
    complaint = refused(ship, app, "create-job", "CronJob")
    assert f"project {allowed} does not permit batch/Job" in complaint
    assert not ship.ask(f"/apis/{PLURALS['Job'].format(namespace)}")["items"]
    act(ship, app, "suspend", "CronJob")


# --- scripts --------------------------------------------------------------------------------------------
def test_what_a_script_makes_is_not_the_apps_and_what_it_sets_stays(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    app, commit = deployed(ship, git_repo, namespace, configmap("a", v="1"), selfHeal=True)

    told = act(ship, app, "hail", "ConfigMap", "--param", "whom=nemo")

    done = f"ConfigMap {namespace}/a: hail: changed, created ConfigMap {namespace}/a-nemo\n"
    assert told == done
    made, hailed = ship.configmap(namespace, "a-nemo"), ship.configmap(namespace, "a")
    assert made["data"] == {"from": "a"}
    assert APPLYSET_PART_OF not in made["metadata"].get("labels", {})
    assert ID not in made["metadata"].get("annotations", {})
    assert hailed["metadata"]["annotations"]["example.com/hailed"] == "nemo"
    ship.quiet()
    status = ship.refresh(app)["status"]
    assert status["sync"] == {**status["sync"], "status": "Synced", "revision": commit}
    assert [one["name"] for one in status["resources"]] == ["a"]
    assert not status.get("conditions")
    ship.pushed(git_repo, {"b.yaml": configmap("b")})
    assert ship.configmap(namespace, "a-nemo")["metadata"]["uid"] == made["metadata"]["uid"]
    assert ship.configmap(namespace, "a")["metadata"]["annotations"]["example.com/hailed"] == "nemo"

    before = ship.configmap(namespace, "a")["metadata"]["resourceVersion"]
    complaint = refused(ship, app, "hail", "ConfigMap", "--resource-name", "a", "--param", "whom=nemo")
    assert f"ConfigMap {namespace}/a-nemo is there already" in complaint
    assert ship.configmap(namespace, "a")["metadata"]["resourceVersion"] == before
    told = act(ship, app, "keep", "ConfigMap", "--resource-name", "a")
    assert told == f"ConfigMap {namespace}/a: keep: nothing to change\n"


def test_scripts_that_would_harm_are_stopped_and_named(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    app, _ = deployed(ship, git_repo, namespace, configmap("a", password="swordfish"))
    before = ship.configmap(namespace, "a")["metadata"]["resourceVersion"]
    reasons = {
        "loop": f"ConfigMap argocd-cm, {KEY}: loop has not ended after 1 s: look for a loop",
        "thief": f"ConfigMap argocd-cm, {KEY}: thief line 1: attempt to index global 'io' (a nil value)",
        "steal": "its action returns another object than it was given: others can only be created",
        "disown": "its action changes mooring.dev/id, by which Mooring knows its objects",
        "secret": "its action creates a Secret: no action may",
    }
    for action, why in reasons.items():
        assert f"ConfigMap {namespace}/a: {why}" in refused(ship, app, action, "ConfigMap")
        assert any(said.endswith(why) for said in events(ship, app, "ResourceActionFailed")), action
    assert ship.configmap(namespace, "a")["metadata"]["resourceVersion"] == before
    assert ship.find(f"/api/v1/namespaces/{namespace}/secrets/made") is None
    assert ship.ended(app)["status"]["operationState"]["phase"] == "Succeeded"


def test_no_action_is_run_on_a_secret(ship: Ship, git_repo: Repository, namespace: str) -> None:
    password = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {it: swordfish}\n"
    app, _ = deployed(ship, git_repo, namespace, password)
    complaint = refused(ship, app, "show", "Secret")
    assert "no action is run on a Secret" in complaint
    assert ship.mooring("app", "actions", "list", app, "--kind", "Secret", "-o", "json").stdout == "[]\n"


# --- by a task --------------------------------------------------------------------------------------------
def test_a_task_by_hand_is_run_once_however_often_it_is_handed_out(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    app, _ = deployed(ship, git_repo, namespace, workload("CronJob"))
    id = f"by-hand-{secrets.token_hex(4)}"
    outcomes = Outcomes(connect(ship.redis_url))
    asked = {"kind": "CronJob", "by": "sailor"}

    ship.send(DEPLOY, TASK_ACTION, app, "create-job", kwargs=asked, task_id=id)
    first = until("its outcome", lambda: outcomes.of(id))
    assert list(first.done) == [f"batch/CronJob {namespace}/web"]
    said = f"sailor ran action create-job on batch/CronJob {namespace}/web"
    assert events(ship, app, "ResourceActionRan") == [said]

    again = f"by-hand-{secrets.token_hex(4)}"
    ship.send(DEPLOY, TASK_ACTION, app, "create-job", kwargs=asked, task_id=id)
    ship.send(DEPLOY, TASK_ACTION, app, "suspend", kwargs=asked, task_id=again)
    until("the second one", lambda: outcomes.of(again))
    assert outcomes.of(id) == first
    assert len(ship.ask(f"/apis/{PLURALS['Job'].format(namespace)}")["items"]) == 1


def test_what_was_begun_by_a_worker_that_died_is_not_begun_again(ship: Ship) -> None:
    id = f"died-{secrets.token_hex(4)}"
    outcomes = Outcomes(connect(ship.redis_url))
    assert outcomes.begin(id)
    ship.send(DEPLOY, TASK_ACTION, "shop", "restart", kwargs={"kind": "Deployment"}, task_id=id)
    found = until("its outcome", lambda: outcomes.of(id))
    assert (found.done, found.error.partition(",")[0]) == ({}, "its worker died with it")


def test_whoever_asks_is_told_at_once_of_a_process_that_is_killed_in_the_midst_of_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    app, _ = deployed(ship, git_repo, namespace, gated("mate"))
    id = f"killed-{secrets.token_hex(4)}"
    with Gate(ship.cluster, namespace) as gate:
        ship.send(DEPLOY, TASK_ACTION, app, "hail", kwargs={"kind": "ConfigMap"}, task_id=id)
        gate.waits("mate-all")
        for pid in ship.pool("deploy"):
            os.kill(pid, signal.SIGKILL)
        found = until("its outcome", lambda: Outcomes(connect(ship.redis_url)).of(id))
    assert (found.done, found.error.partition(",")[0]) == ({}, "its worker died with it")


def test_what_nobody_took_in_time_is_not_run_any_more(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    app, _ = deployed(ship, git_repo, namespace, workload("CronJob"))
    ship.end("deploy")
    complaint = refused(ship, app, "create-job", "CronJob", "--timeout", "0.5")
    assert "no word of it after 0.5 s" in complaint
    ship.start("deploy")
    act(ship, app, "suspend", "CronJob")
    assert not ship.ask(f"/apis/{PLURALS['Job'].format(namespace)}")["items"]


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        (("nobody", "restart"), {"kind": "Deployment"}, "no Application "),
        (("../x", "restart"), {"kind": "Deployment"}, "no Application "),
        (("x" * 1000, "restart"), {"kind": "Deployment"}, "names no Application"),
        (("shop", 7), {"kind": ["a"]}, "kind is no text"),
        (("shop", None), {"kind": "a"}, "the action is missing"),
        (("shop", "restart"), {"kind": "a", "shell": "rm"}, "'shell' is no argument"),
    ],
)
def test_arguments_that_make_no_sense_end_with_a_reason(
    ship: Ship, args: tuple[Any, ...], kwargs: dict[str, Any], why: str
) -> None:
    id = f"odd-{secrets.token_hex(4)}"
    outcomes = Outcomes(connect(ship.redis_url))
    ship.send(DEPLOY, TASK_ACTION, *args, kwargs=kwargs, task_id=id)
    found = until("its outcome", lambda: outcomes.of(id))
    assert isinstance(found, Outcome)
    assert why in found.error
    assert not found.done

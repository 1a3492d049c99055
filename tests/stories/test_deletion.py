"""An Application that is deleted takes with it what it has deployed, if it is to, and nothing else."""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from devcluster.gitserver import GitServer, Repository
from mooring.names import DELETION_APPROVED, ID
from tests.definitions import definition
from tests.stories.ship import APPS, Ship, configmap, until
from tests.stories.test_hooks import FINALIZER, HOOK, RUN, ends, job, jobs

pytestmark = pytest.mark.cluster

CASCADE = "resources-finalizer.argocd.argoproj.io"
MERGE = {"method": "PATCH", "content_type": "application/merge-patch+json"}
HOLD = "example.org/hold"  # a finalizer that only the story takes off


def manifest(
    name: str,
    annotations: Mapping[str, str] | None = None,
    finalizers: Iterable[str] = (),
    kind: str = "ConfigMap",
    **more: Any,
) -> dict[str, str]:
    """The file of one object."""
    metadata = {"name": name, "annotations": dict(annotations or {}), "finalizers": list(finalizers)}
    return {f"{name}.yaml": json.dumps({"apiVersion": "v1", "kind": kind, "metadata": metadata, **more})}


def in_wave(number: int) -> dict[str, str]:
    return {"argocd.argoproj.io/sync-wave": str(number)}


def option(text: str) -> dict[str, str]:
    return {"argocd.argoproj.io/sync-options": text}


def deployed(
    ship: Ship,
    name: str,
    repo: Repository,
    namespace: str,
    files: Mapping[str, str],
    finalizer: str = CASCADE,
    **more: Any,
) -> None:
    """An Application that is synced, and has the finalizer."""
    commit = repo.commit(files)  # first: a repository that is empty yet is looked at again only by the clock
    ship.create_app(name, repo, namespace, **more)
    ship.synced(name, commit)
    ship.patch_app(name, {"metadata": {"finalizers": [finalizer] if finalizer else []}})


def delete(ship: Ship, name: str) -> None:
    """As `kubectl delete application` does it."""
    ship.ask(f"{APPS.format(ship.home)}/{name}", method="DELETE")


def gone(ship: Ship, name: str) -> None:
    until(f"the Application {name} to be gone", lambda: ship.app(name) is None)


def inventory(ship: Ship, app: str) -> Any:
    """The objects of the app's inventory, by kind; None where there is none."""
    listed = ship.ask(f"/api/v1/namespaces/{ship.home}/configmaps")["items"]
    named = [each for each in listed if each["metadata"]["name"].endswith(f"-{ship.home}.{app}")]
    return json.loads(named[0]["data"]["inventory"])["objects"] if named else None


def unheld(ship: Ship, namespace: str, name: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
    ship.ask(path, {"metadata": {"finalizers": None}}, **MERGE)


def going(ship: Ship, namespace: str, name: str) -> bool:
    """Whether somebody has deleted the ConfigMap, and it is still there."""
    found = ship.configmap(namespace, name)
    return found is not None and "deletionTimestamp" in found["metadata"]


def told(ship: Ship, app: str) -> str:
    """What Events say of the app."""
    listed = ship.ask(f"/api/v1/namespaces/{ship.home}/events")["items"]
    return "\n".join(each["message"] for each in listed if each["involvedObject"]["name"] == app)


def test_an_application_with_the_finalizer_takes_along_what_it_has_deployed(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    deployed(
        ship, "shop", git_repo, namespace, {**manifest("a"), **manifest("b"), **manifest("s", kind="Secret")}
    )
    bystander = {"metadata": {"name": "c"}}
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps", bystander)

    delete(ship, "shop")

    gone(ship, "shop")
    for name in ("a", "b"):
        assert ship.configmap(namespace, name) is None
    assert ship.find(f"/api/v1/namespaces/{namespace}/secrets/s") is None
    assert ship.configmap(namespace, "c")
    assert inventory(ship, "shop") is None
    assert "deleted with all that it had" in told(ship, "shop")


def test_without_a_finalizer_what_it_has_deployed_stays_as_it_is(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    deployed(ship, "leaves", git_repo, namespace, manifest("a"), finalizer="")

    delete(ship, "leaves")

    gone(ship, "leaves")
    ship.quiet()
    before = ship.configmap(namespace, "a")
    assert inventory(ship, "leaves") == {"/ConfigMap": {f"{namespace}/a": "created apply"}}

    # One of the same name finds it again as its own.
    ship.create_app("leaves", git_repo, namespace)
    ship.synced("leaves", str(git_repo.resolve()))
    assert ship.configmap(namespace, "a")["metadata"]["uid"] == before["metadata"]["uid"]
    assert not ship.app("leaves")["status"].get("conditions")


def test_the_highest_wave_goes_first_and_the_next_once_that_is_gone(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {
        **manifest("first", in_wave(-1)),
        **manifest("second"),
        **manifest("third", in_wave(2), [HOLD]),
        **manifest("third-too", in_wave(2)),
    }
    deployed(ship, "waves", git_repo, namespace, files)

    delete(ship, "waves")

    # The garbage collector may take a moment to take its own finalizer off, and third-too away.
    said = ship.condition("waves", f"waits for ConfigMap {namespace}/third (finalizers: {HOLD}) to be gone")
    assert said["type"] == "Deleting"
    assert "2 more of lower waves" in said["message"]
    assert ship.configmap(namespace, "third-too") is None
    assert not going(ship, namespace, "second")
    assert not going(ship, namespace, "first")
    shown = ship.mooring("app", "get", "waves").stdout
    assert "Deleting: waits for ConfigMap" in shown
    assert "Z, with what it has deployed\n" in shown

    unheld(ship, namespace, "third")
    gone(ship, "waves")
    assert ship.configmap(namespace, "first") is None
    assert ship.configmap(namespace, "second") is None


@pytest.mark.parametrize(
    ("finalizer", "waits"),
    [(CASCADE, True), (f"{CASCADE}/foreground", True), (f"{CASCADE}/background", False)],
)
def test_the_finalizer_says_whether_what_depends_on_an_object_goes_before_it(
    ship: Ship, git_repo: Repository, namespace: str, finalizer: str, waits: bool
) -> None:
    deployed(ship, "depends", git_repo, namespace, manifest("owner"), finalizer)
    owner = ship.configmap(namespace, "owner")["metadata"]["uid"]
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner,
        "blockOwnerDeletion": True,
    }
    dependent = {"metadata": {"name": "dependent", "finalizers": [HOLD], "ownerReferences": [reference]}}
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps", dependent)

    delete(ship, "depends")

    until("the dependent to be deleted", lambda: going(ship, namespace, "dependent"))
    if waits:
        ship.condition("depends", "finalizers: foregroundDeletion")
    else:
        gone(ship, "depends")
        assert ship.configmap(namespace, "owner") is None
    unheld(ship, namespace, "dependent")
    gone(ship, "depends")


def test_what_says_that_it_stays_stays_and_an_application_of_that_name_takes_it_up_again(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {
        **manifest("data", option("Delete=false")),
        **manifest("chart", {"helm.sh/resource-policy": "keep"}),
        **manifest("a", option("Prune=false")),  # of what left Git, and it has not
    }
    deployed(ship, "keeps", git_repo, namespace, files)

    delete(ship, "keeps")

    gone(ship, "keeps")
    assert ship.configmap(namespace, "a") is None
    assert ship.configmap(namespace, "data")
    assert ship.configmap(namespace, "chart")
    assert f"stays: ConfigMap {namespace}/chart: its sync option Delete=false" in told(ship, "keeps")
    assert [*inventory(ship, "keeps")["/ConfigMap"]] == [f"{namespace}/chart", f"{namespace}/data"]

    ship.create_app("keeps", git_repo, namespace)
    ship.synced("keeps", str(git_repo.resolve()))
    assert ship.configmap(namespace, "a")
    assert not ship.app("keeps")["status"].get("conditions")


def test_a_definition_stays_and_with_it_what_others_have_of_its_kind(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    group = f"g{secrets.token_hex(4)}.example.org"
    crd = definition(group, "Boat")
    boat = {"apiVersion": f"{group}/v1", "kind": "Boat", "metadata": {"name": "mine"}}
    files = {"crd.yaml": json.dumps(crd), "boat.yaml": json.dumps(boat)}
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/boats.{group}"
    try:
        deployed(ship, "defines", git_repo, namespace, files)
        delete(ship, "defines")
        gone(ship, "defines")
        assert ship.find(f"/apis/{group}/v1/namespaces/{namespace}/boats/mine") is None
        assert ship.find(path)
        assert f"boats.{group}: all objects of its kind would go with it" in told(ship, "defines")
    finally:
        ship.ask(path, method="DELETE")


def test_what_asks_for_a_confirmation_holds_all_until_somebody_gives_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {**manifest("asks", option("Delete=confirm")), **manifest("top", in_wave(1))}
    deployed(ship, "confirms", git_repo, namespace, files)
    approve(
        ship, "confirms", datetime.datetime.now(datetime.UTC)
    )  # before it was deleted: it approves nothing

    delete(ship, "confirms")

    said = ship.condition("confirms", "waits for a confirmation")
    assert f"ConfigMap {namespace}/asks" in said["message"]
    assert DELETION_APPROVED in said["message"]
    assert not going(ship, namespace, "top")
    assert ship.configmap(namespace, "top")

    deleted = datetime.datetime.fromisoformat(ship.app("confirms")["metadata"]["deletionTimestamp"])
    approve(ship, "confirms", deleted + datetime.timedelta(seconds=1))
    gone(ship, "confirms")
    assert ship.configmap(namespace, "asks") is None


def approve(ship: Ship, name: str, at: datetime.datetime) -> None:
    text = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    ship.patch_app(name, {"metadata": {"annotations": {DELETION_APPROVED: text}}})


def test_what_is_not_proved_to_be_ours_stays_and_that_is_told(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    deployed(
        ship,
        "proves",
        git_repo,
        namespace,
        {**manifest("a"), **manifest("taken"), **manifest("held", finalizers=[HOLD])},
    )
    path = f"/api/v1/namespaces/{namespace}/configmaps/taken"
    ship.ask(path, {"metadata": {"annotations": {ID: None}}}, **MERGE)

    delete(ship, "proves")

    said = ship.condition("proves", "taken stays: it does not carry mooring.dev/id")
    assert said["type"] == "OrphanedResourceWarning"
    unheld(ship, namespace, "held")
    gone(ship, "proves")
    assert ship.configmap(namespace, "a") is None
    assert ship.configmap(namespace, "taken")
    assert "taken: it does not carry mooring.dev/id" in told(ship, "proves")


def test_what_another_application_has_in_git_too_is_left_to_it(
    ship: Ship, git_server: GitServer, git_repo: Repository, namespace: str
) -> None:
    deployed(ship, "owns", git_repo, namespace, {**manifest("shared"), **manifest("mine")})
    other = git_server.create(f"repo-{secrets.token_hex(5)}")
    commit = other.commit(manifest("shared", data={"of": "the other"}))
    ship.create_app("wants", other, namespace)
    ship.condition("wants", "belongs to app owns")
    before = ship.configmap(namespace, "shared")["metadata"]["uid"]

    delete(ship, "owns")

    gone(ship, "owns")
    assert ship.configmap(namespace, "mine") is None
    ship.synced("wants", commit)
    after = ship.configmap(namespace, "shared")
    assert (after["metadata"]["uid"], after["data"]) == (before, {"of": "the other"})


def test_an_object_of_two_applications_goes_with_the_last_of_them(
    ship: Ship, git_server: GitServer, git_repo: Repository, namespace: str
) -> None:
    deployed(ship, "one", git_repo, namespace, {**manifest("shared"), **manifest("held", finalizers=[HOLD])})
    other = git_server.create(f"repo-{secrets.token_hex(5)}")
    other.commit(manifest("shared"))
    ship.create_app("two", other, namespace)
    ship.condition("two", "belongs to app one")
    # It is being deleted as well, and waits for somebody else's finalizer: it will keep nothing.
    ship.patch_app("two", {"metadata": {"finalizers": ["example.org/other"]}})
    delete(ship, "two")

    delete(ship, "one")

    until("the shared object to be gone", lambda: ship.configmap(namespace, "shared") is None)
    ship.patch_app("two", {"metadata": {"finalizers": None}})
    unheld(ship, namespace, "held")
    gone(ship, "one")


def test_a_project_that_is_missing_is_told_with_the_way_out_and_destroys_nothing(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    projects = f"/apis/argoproj.io/v1alpha1/namespaces/{ship.home}/appprojects"
    spec = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
    project = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "team", "namespace": ship.home},
        "spec": spec,
    }
    ship.ask(projects, project)
    deployed(ship, "member", git_repo, namespace, manifest("a"), spec={"project": "team"})
    ship.ask(f"{projects}/team", method="DELETE")

    delete(ship, "member")

    said = ship.condition("member", "project team does not exist")
    assert said["type"] == "DeletionError"
    assert "`mooring app delete member --no-cascade`" in said["message"]
    until("an Event that says so", lambda: "project team does not exist" in told(ship, "member"))
    assert ship.configmap(namespace, "a") and not going(ship, namespace, "a")

    # A project that has come back permits no more than it says.
    spec["namespaceResourceBlacklist"] = [{"group": "", "kind": "ConfigMap"}]
    ship.ask(projects, project)
    gone(ship, "member")
    assert ship.configmap(namespace, "a")
    rule = "project team does not permit core/ConfigMap: spec.namespaceResourceBlacklist[0]"
    until("an Event that names the rule", lambda: rule in told(ship, "member"))
    ship.ask(f"{projects}/team", method="DELETE")


def test_a_destination_that_is_no_cluster_of_ours_is_told_and_correcting_it_goes_on(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    deployed(ship, "lost", git_repo, namespace, manifest("a"))
    ship.patch_app("lost", {"spec": {"destination": {"server": "https://elsewhere.example.com"}}})

    delete(ship, "lost")

    said = ship.condition("lost", "spec.destination.server")
    assert said["type"] == "DeletionError"
    assert ship.configmap(namespace, "a")
    ship.patch_app("lost", {"spec": {"destination": {"server": "https://kubernetes.default.svc"}}})
    gone(ship, "lost")
    assert ship.configmap(namespace, "a") is None


def test_an_application_that_has_nothing_here_goes_wherever_it_was_to_be_deployed(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app(
        "nowhere", git_repo, namespace, spec={"project": "no-such", "destination": {"name": "no-such"}}
    )
    ship.condition("nowhere", "no-such")
    ship.patch_app("nowhere", {"metadata": {"finalizers": [CASCADE]}})
    delete(ship, "nowhere")
    gone(ship, "nowhere")


def test_a_finalizer_for_hooks_that_nobody_has_keeps_nothing(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    deployed(ship, "hooked", git_repo, namespace, manifest("a"))
    hooks = "post-delete-finalizer.argocd.argoproj.io"
    ship.patch_app("hooked", {"metadata": {"finalizers": [CASCADE, hooks]}})

    delete(ship, "hooked")

    gone(ship, "hooked")
    assert ship.configmap(namespace, "a") is None


def test_with_its_inventory_lost_nothing_is_deleted_and_it_can_be_let_go(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    deployed(ship, "forgot", git_repo, namespace, manifest("a"))
    path = f"/api/v1/namespaces/{ship.home}/configmaps"
    listed = ship.ask(path)["items"]
    (name,) = [each["metadata"]["name"] for each in listed if each["metadata"]["name"].endswith(".forgot")]
    ship.ask(f"{path}/{name}", method="DELETE")

    delete(ship, "forgot")

    said = ship.condition("forgot", "the inventory, is missing")
    assert said["type"] == "DeletionError"
    assert ship.configmap(namespace, "a")
    done = ship.mooring("app", "delete", "forgot", "--no-cascade", "--yes")
    assert done.returncode == 0, done.stderr
    gone(ship, "forgot")
    ship.quiet()
    assert ship.configmap(namespace, "a") and not going(ship, namespace, "a")


def test_who_takes_the_finalizer_off_while_a_wave_goes_keeps_the_waves_below(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {**manifest("low"), **manifest("high", in_wave(1), [HOLD])}
    deployed(ship, "stops", git_repo, namespace, files)
    delete(ship, "stops")
    ship.condition("stops", "waits for ConfigMap")

    ship.patch_app("stops", {"metadata": {"finalizers": None}})
    gone(ship, "stops")
    unheld(ship, namespace, "high")

    until("the wave that was deleted to be gone", lambda: ship.configmap(namespace, "high") is None)
    ship.quiet()
    assert ship.configmap(namespace, "low") and not going(ship, namespace, "low")


def test_a_sync_that_waits_for_a_wave_ends_and_deploys_nothing_more(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": "no-such-class",
    }
    ship.create_app("waits", git_repo, namespace)
    git_repo.commit(
        {**manifest("never", kind="PersistentVolumeClaim", spec=claim), **manifest("next", in_wave(1))}
    )
    ship.patch_app("waits", {"metadata": {"finalizers": [CASCADE]}})

    def waits() -> bool:
        state = ship.app("waits").get("status", {}).get("operationState", {})
        return state.get("phase") == "Running" and "waiting for healthy" in state.get("message", "")

    until("the first wave to be waited for", waits)
    delete(ship, "waits")

    gone(ship, "waits")
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/never"
    until("the claim to be gone", lambda: ship.find(path) is None)
    assert ship.configmap(namespace, "next") is None


def test_the_hooks_of_a_sync_that_runs_are_ended_and_what_hooks_have_left_goes(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    done = configmap("done", v="1").replace("name: done", f"name: done\n  annotations: {{{HOOK}: PreSync}}")
    git_repo.commit(
        {
            "done.yaml": done,
            "never.yaml": job("never", RUN, hook="PreSync", sync_wave="1"),
            **manifest("next"),
        }
    )
    ship.create_app("hooks", git_repo, namespace)
    until("the hook to run", lambda: "never" in jobs(ship, namespace))
    ship.patch_app("hooks", {"metadata": {"finalizers": [CASCADE]}})

    delete(ship, "hooks")

    gone(ship, "hooks")
    assert jobs(ship, namespace) == {}
    assert ship.configmap(namespace, "done") is None
    assert ship.configmap(namespace, "next") is None


def test_what_hooks_of_all_its_syncs_have_left_is_shown_and_goes_with_it(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    note = configmap("note", v="1").replace("name: note", f"name: note\n  annotations: {{{HOOK}: PreSync}}")
    once = job("once-", named="generateName", hook="PostSync")
    theirs = {"other/hook.yaml": job("theirs", hook="PreSync"), "other/d.yaml": manifest("d")["d.yaml"]}
    files = {"once.yaml": once, "note.yaml": note, **manifest("a"), **theirs}
    deployed(ship, "hooked", git_repo, namespace, files)
    ship.create_app("neighbour", git_repo, namespace, path="other")
    until("its hook", lambda: "theirs" in jobs(ship, namespace))
    ship.synced("hooked", ship.pushed(git_repo, {"note.yaml": "", **manifest("b")}))
    ship.synced("hooked", ship.pushed(git_repo, {"once.yaml": "", **manifest("c")}))
    ship.ended("hooked")
    left = jobs(ship, namespace)
    generated = {name for name in left if name.startswith("once-")}
    assert len(generated) == 2
    assert set(left) == {*generated, "theirs"}

    app = ship.reconcile("hooked")

    assert app["status"]["sync"]["status"] == "Synced"
    shown = {one["name"] for one in app["status"]["resources"] if one.get("hook")}
    assert shown == {*generated, "note"}
    copied = {"name": "lookalike", "labels": left[generated.pop()]["metadata"]["labels"]}
    spec = {"suspend": True, "template": {"spec": left["theirs"]["spec"]["template"]["spec"]}}
    ship.ask(f"/apis/batch/v1/namespaces/{namespace}/jobs", {"metadata": copied, "spec": spec})

    delete(ship, "hooked")

    gone(ship, "hooked")
    assert set(jobs(ship, namespace)) == {"theirs", "lookalike"}
    assert ship.configmap(namespace, "note") is None
    assert inventory(ship, "hooked") is None
    assert "deleted with all that it had" in told(ship, "hooked")


def test_a_hook_may_ask_for_a_confirmation_or_to_stay(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {
        "asks.yaml": job("asks", hook="PreSync", sync_options="Delete=confirm"),
        "kept.yaml": job("kept", hook="PreSync", sync_options="Delete=false"),
        "goes.yaml": job("goes", hook="PreSync"),
    }
    deployed(ship, "careful", git_repo, namespace, {**files, **manifest("a")})

    delete(ship, "careful")

    said = ship.condition("careful", f"waits for a confirmation: batch/Job {namespace}/asks")
    assert said["type"] == "Deleting"
    assert set(jobs(ship, namespace)) == {"asks", "goes", "kept"}
    assert ship.configmap(namespace, "a") and not going(ship, namespace, "a")

    deleted = datetime.datetime.fromisoformat(ship.app("careful")["metadata"]["deletionTimestamp"])
    approve(ship, "careful", deleted + datetime.timedelta(seconds=1))
    gone(ship, "careful")
    assert set(jobs(ship, namespace)) == {"kept"}
    assert ship.configmap(namespace, "a") is None
    assert f"stays: batch/Job {namespace}/kept" in told(ship, "careful")


def test_a_hook_that_runs_when_its_application_goes_without_it_runs_on_and_is_kept_by_nobody(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"runs.yaml": job("runs", RUN, hook="PreSync"), **manifest("next")})
    ship.create_app("leaves-it", git_repo, namespace)
    until("the hook to run", lambda: "runs" in jobs(ship, namespace))
    assert FINALIZER in jobs(ship, namespace)["runs"]["metadata"]["finalizers"]

    delete(ship, "leaves-it")

    gone(ship, "leaves-it")
    until("nobody to keep it", lambda: "finalizers" not in jobs(ship, namespace)["runs"]["metadata"])
    until("it to run on", lambda: jobs(ship, namespace)["runs"]["status"].get("active") == 1)
    assert "deletionTimestamp" not in jobs(ship, namespace)["runs"]["metadata"]
    assert ship.configmap(namespace, "next") is None
    said = f"its hooks stay and are not waited for: batch/Job {namespace}/runs"
    until("that to be logged", lambda: any(said in ship.log(pool) for pool in ("deploy", "reconcile")))


def test_an_application_made_anew_waits_for_the_hook_that_the_one_before_it_has_left_running(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({"hook.yaml": job("before", RUN, hook="PreSync"), **manifest("a")})
    ship.create_app("anew", git_repo, namespace)
    until("the hook to run", lambda: "before" in jobs(ship, namespace))
    for pool in ("deploy", "reconcile"):
        ship.end(pool)
    delete(ship, "anew")
    commit = git_repo.commit({"hook.yaml": job("after", hook="PreSync"), **manifest("a")})
    ship.create_app("anew", git_repo, namespace)
    ship.start("deploy", "reconcile")

    ship.condition("anew", "waiting for completion of hook batch/Job/before of an earlier sync")
    assert set(jobs(ship, namespace)) == {"before"}
    assert ship.configmap(namespace, "a") is None
    ends(ship, namespace, "before")

    ship.synced("anew", commit)
    assert ship.configmap(namespace, "a")
    assert not ship.app("anew")["status"].get("conditions")
    until(
        "nobody to keep it",
        lambda: "finalizers" not in jobs(ship, namespace)["before"]["metadata"],
    )


def test_an_application_that_has_itself_in_git_goes_like_any_other(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    """As `argocd` users have it who let one Application keep all of them, itself too."""
    own = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "root", "namespace": ship.home, "finalizers": [CASCADE]},
        "spec": {
            "project": "default",
            "source": {"repoURL": git_repo.url, "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {"prune": True}},
        },
    }
    ship.create_app("root", git_repo, namespace)
    ship.synced("root", git_repo.commit({"root.yaml": json.dumps(own), **manifest("a")}))
    assert ship.app("root")["metadata"]["finalizers"] == [CASCADE]

    delete(ship, "root")

    gone(ship, "root")
    assert ship.configmap(namespace, "a") is None


def test_an_application_of_applications_takes_them_along_with_what_they_have(
    ship: Ship, git_server: GitServer, git_repo: Repository, namespace: str
) -> None:
    inner = git_server.create(f"repo-{secrets.token_hex(5)}")
    commit = inner.commit(manifest("inner", finalizers=[HOLD]))
    child = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "child", "namespace": ship.home, "finalizers": [CASCADE]},
        "spec": {
            "project": "default",
            "source": {"repoURL": inner.url, "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {"prune": True}},
        },
    }
    deployed(ship, "parent", git_repo, namespace, {"child.yaml": json.dumps(child)})
    ship.synced("child", commit)

    delete(ship, "parent")

    ship.condition("child", "waits for ConfigMap")
    assert "argoproj.io/Application" in ship.condition("parent", f"{ship.home}/child")["message"]
    unheld(ship, namespace, "inner")
    gone(ship, "parent")
    assert ship.app("child") is None
    assert ship.configmap(namespace, "inner") is None


def test_the_command_deletes_with_what_was_deployed_and_waits_for_that(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {**manifest("a"), **manifest("held", finalizers=[HOLD])}
    deployed(ship, "typed", git_repo, namespace, files, finalizer="")

    done = ship.mooring("app", "delete", "typed", "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"{ship.home}/typed is being deleted; 2 objects are deleted with it, but for what is marked to stay\n"
    )
    ship.condition("typed", f"waits for ConfigMap {namespace}/held (finalizers: {HOLD}) to be gone")
    assert ship.configmap(namespace, "a") is None
    done = ship.mooring("app", "delete", "typed", "--yes", "--wait", "--timeout", "1")
    assert done.returncode == 20
    assert "is not gone after 1 s: waits for ConfigMap" in done.stderr

    unheld(ship, namespace, "held")
    gone(ship, "typed")


def test_the_command_asks_as_argo_cd_asks_for_background_deletion_and_for_none(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    deployed(ship, "asked", git_repo, namespace, manifest("held", finalizers=[HOLD]))
    done = ship.mooring("app", "delete", "asked", "-y", "--propagation-policy", "background")
    assert done.returncode == 0, done.stderr
    ship.condition("asked", "waits for ConfigMap")
    assert ship.app("asked")["metadata"]["finalizers"] == [f"{CASCADE}/background"]

    assert ship.mooring("app", "delete", "asked", "-y", "--cascade=false").returncode == 0
    gone(ship, "asked")
    assert going(ship, namespace, "held")  # who was deleted already stays that
    unheld(ship, namespace, "held")
    assert ship.mooring("app", "delete", "x", "--cascade=false", "-p", "background").returncode == 2


@pytest.mark.parametrize("pool", ["deploy", "reconcile"])
def test_a_worker_killed_in_the_middle_loses_nothing(
    ship: Ship, git_repo: Repository, namespace: str, pool: str
) -> None:
    files = {**manifest("low"), **manifest("high", in_wave(1), [HOLD])}
    deployed(ship, "survives", git_repo, namespace, files)
    delete(ship, "survives")
    ship.condition("survives", "waits for ConfigMap")

    ship.kill(pool)
    unheld(ship, namespace, "high")
    ship.start(pool)

    gone(ship, "survives")
    assert ship.configmap(namespace, "low") is None
    assert inventory(ship, "survives") is None

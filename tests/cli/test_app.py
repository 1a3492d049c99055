"""`mooring app` on a real API server: created, listed, compared, deleted, and each failure says what next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import UsageError

from cli.app.create import create, difference, merged
from cli.app.delete import left, taken
from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from tests.cli.conftest import Mooring, application

pytestmark = pytest.mark.cluster

# What click gives when no flag is set.
_NOTHING: dict[str, Any] = {
    parameter.name or "": () if getattr(parameter, "multiple", False) else None for parameter in create.params
}


def test_a_list_is_read_by_people_and_by_programs(mooring: Mooring, shop: str, namespace: str) -> None:
    people = mooring("app", "list").stdout.splitlines()
    assert people[0].split() == [
        *("NAME", "PROJECT", "NAMESPACE", "STATUS", "HEALTH"),
        *("SYNCPOLICY", "REVISION", "CONDITIONS"),
    ]
    assert people[1].split() == ["shop", "default", namespace, "Unknown", "Unknown", "Manual", "<none>"]
    assert "\033" not in "".join(people)
    assert mooring("app", "list", "-o", "name").stdout == f"{namespace}/shop\n"
    as_json = json.loads(mooring("app", "list", "-o", "json").stdout)
    assert [app["metadata"]["name"] for app in as_json] == ["shop"]
    assert as_json == yaml.safe_load(mooring("app", "list", "-o", "yaml").stdout)
    assert "REPO" in mooring("app", "list", "-o", "wide").stdout
    assert mooring("app", "list", "-l", "team", "-o", "name").stdout == ""
    assert mooring("app", "list", "-l", "!team", "-o", "name").stdout == f"{namespace}/shop\n"
    assert mooring("app", "list", "-l", "team in sea").returncode == 2
    assert mooring("app", "list", "--project", "other", "-o", "name").stdout == ""


def test_get_shows_where_it_comes_from_and_how_it_is(
    mooring: Mooring, shop: str, namespace: str, git_repo: Repository
) -> None:
    shown = mooring("app", "get", shop).stdout
    assert f"Name:               {namespace}/shop\n" in shown
    assert f"Repo:               {git_repo.url}\n" in shown
    assert "Sync Policy:        Manual\n" in shown


def test_what_is_nobodys_is_listed_without_what_the_project_ignores(
    mooring: Mooring, shop: str, namespace: str, cluster: Cluster
) -> None:
    for name in ("stray", "spare"):
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        devcluster.ask(cluster, path, {"metadata": {"name": name}, "data": {"it": "swordfish"}})

    def kinds_and_names() -> list[list[str]]:
        done = mooring("app", "resources", shop, "--orphaned", "-o", "json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert {one["namespace"] for one in found} == {namespace}
        return [[one["kind"], one["name"]] for one in found]

    assert kinds_and_names() == [
        ["ConfigMap", "spare"],
        ["ConfigMap", "stray"],
        ["Application", "shop"],  # as in Argo CD: no other app has it
    ]
    names = mooring("app", "resources", shop, "--orphaned", "-o", "name").stdout.splitlines()
    assert [line.split()[0] for line in names] == ["ConfigMap", "ConfigMap", "argoproj.io/Application"]
    people = mooring("app", "resources", shop, "--orphaned").stdout
    assert people.splitlines()[0].split() == ["GROUP", "KIND", "NAMESPACE", "NAME"]
    assert "swordfish" not in people

    ignored = [{"kind": "ConfigMap", "name": "sp*"}, {"group": "argoproj.io"}]
    project = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "orphanedResources": {"warn": False, "ignore": ignored},
        },
    }
    devcluster.ask(cluster, f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/appprojects", project)
    assert kinds_and_names() == [["ConfigMap", "stray"]]


def test_a_tree_of_what_was_never_synced_is_its_application_alone(mooring: Mooring, shop: str) -> None:
    done = mooring("app", "tree", shop)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2
    assert mooring("app", "tree", shop, "-o", "json").stdout == "[]\n"
    assert mooring("app", "tree", "nobody").returncode == 13


def test_what_is_in_another_cluster_is_not_taken_for_what_is_in_this_one(mooring: Mooring, shop: str) -> None:
    elsewhere = "https://elsewhere.example.com"
    assert mooring("app", "set", shop, "--dest-server", elsewhere).returncode == 0
    for words in (("tree", shop), ("resources", shop, "--orphaned")):
        done = mooring("app", *words)
        assert (done.returncode, done.stdout) == (20, "")
        assert "no clusters with this server" in done.stderr


def test_what_is_not_there_is_said_with_the_next_step(mooring: Mooring, namespace: str) -> None:
    done = mooring("app", "get", "nobody")
    assert done.returncode == 13
    assert done.stdout == ""
    assert done.stderr.startswith(f"mooring: no Application {namespace}/nobody: `mooring app list")
    assert "Traceback" not in done.stderr


def test_a_cluster_that_does_not_answer_is_another_exit_code(
    mooring: Mooring, cluster: Cluster, tmp_path: Path
) -> None:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": "http://127.0.0.1:1"}
    broken = tmp_path / "kubeconfig"
    broken.write_text(yaml.safe_dump(config))
    done = mooring("app", "list", MOORING_KUBECONFIG=str(broken))
    assert done.returncode == 11, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_creating_again_changes_only_what_is_asked_for(
    mooring: Mooring, shop: str, git_repo: Repository
) -> None:
    flags = ["--repo", git_repo.url, "--path", "other"]
    refused = mooring("app", "create", shop, *flags)
    assert refused.returncode == 20
    assert "--upsert" in refused.stderr
    changed = mooring("app", "create", shop, *flags, "--upsert", "--sync-policy", "auto", "--self-heal")
    assert changed.stdout.endswith("updated\n"), changed.stderr
    spec = json.loads(mooring("app", "get", shop, "-o", "json").stdout)["spec"]
    assert spec["source"] == {"repoURL": git_repo.url, "path": "other"}
    assert spec["syncPolicy"] == {"automated": {"selfHeal": True}}
    again = mooring("app", "create", shop, *flags, "--upsert", "--sync-policy", "auto", "--self-heal")
    assert again.stdout.endswith("unchanged\n")


def test_a_manifest_from_stdin_is_created_and_a_misspelt_field_is_named(
    mooring: Mooring, shop: str, namespace: str
) -> None:
    body = json.loads(mooring("app", "get", shop, "-o", "json").stdout)
    spec = body["spec"] | {"syncPolicies": {}}
    given = json.dumps({"kind": "Application", "metadata": {"name": "blog"}, "spec": spec})
    done = mooring("app", "create", "-f", "-", given=given)
    assert done.stdout == f"application {namespace}/blog created\n", done.stderr
    assert "spec.syncPolicies is no field" in done.stderr


def test_what_was_never_rendered_has_read_nothing_and_says_why(
    mooring: Mooring, shop: str, cluster: Cluster, namespace: str
) -> None:
    assert "`mooring app refresh shop`" in mooring("app", "reads", shop).stderr

    status = {"status": {"conditions": [{"type": "ComparisonError", "message": "app path does not exist"}]}}
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications/{shop}"
    devcluster.ask(cluster, path, status, method="PATCH", content_type="application/merge-patch+json")

    done = mooring("app", "reads", shop)
    assert done.returncode == 20
    assert done.stderr.endswith("has not been rendered yet: app path does not exist\n")


def test_a_manifest_is_read_as_kubectl_reads_it(mooring: Mooring, shop: str, git_repo: Repository) -> None:
    manifest = f"""
        metadata:
          name: times
          annotations: {{released: 2024-01-01, at: 12:30:45}}
        spec:
          source: {{repoURL: {git_repo.url}, path: 2024-01-02, targetRevision: 1:30}}
        """
    done = mooring("app", "create", "-f", "-", given=manifest)
    assert done.returncode == 0, done.stderr
    body = json.loads(mooring("app", "get", "times", "-o", "json").stdout)
    assert body["metadata"]["annotations"] == {"released": "2024-01-01", "at": "12:30:45"}
    assert body["spec"]["source"]["path"] == "2024-01-02"
    assert body["spec"]["source"]["targetRevision"] == "1:30"


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("metadata: {name: a}\nspec: [1]\n", "spec of the manifest must be a mapping"),
        ("metadata: shop\n", "metadata of the manifest must be a mapping"),
        ("a: b: c\n", "stdin:1"),
        ("- a\n", "stdin:1"),
        ("", "it holds 0 documents"),
    ],
)
def test_a_manifest_that_is_none_is_said_in_one_line(mooring: Mooring, manifest: str, said: str) -> None:
    done = mooring("app", "create", "-f", "-", "--repo", "https://example.com/a.git", given=manifest)
    assert done.returncode == 20
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_upsert_sees_labels_annotations_and_finalizers(mooring: Mooring, shop: str) -> None:
    body = json.loads(mooring("app", "get", shop, "-o", "json").stdout)
    metadata = {"name": shop, "annotations": {"note": "b"}, "finalizers": ["example.com/keep"]}
    given = json.dumps({"metadata": metadata, "spec": body["spec"]})
    refused = mooring("app", "create", "-f", "-", given=given)
    assert refused.returncode == 20
    assert "exists and differs" in refused.stderr
    done = mooring("app", "create", "-f", "-", "--upsert", "--label", "team=sea", "-o", "json", given=given)
    assert done.returncode == 0, done.stderr
    changed = json.loads(done.stdout)
    assert changed["metadata"]["annotations"] == {"note": "b"}
    assert changed["metadata"]["labels"] == {"team": "sea"}
    assert changed["metadata"]["finalizers"] == ["example.com/keep"]
    assert changed["spec"] == body["spec"]
    again = mooring("app", "create", "-f", "-", "--upsert", given=given)
    assert again.stdout.endswith("unchanged\n")
    given = json.dumps({"metadata": {**metadata, "finalizers": []}, "spec": body["spec"]})
    assert mooring("app", "create", "-f", "-", "--upsert", given=given).stdout.endswith("updated\n")
    assert "finalizers" not in json.loads(mooring("app", "get", shop, "-o", "json").stdout)["metadata"]


def test_a_difference_is_an_exit_code_and_shows_no_secret(mooring: Mooring, shop: str) -> None:
    done = mooring("app", "diff", shop)
    assert done.returncode == 1, done.stderr
    assert "===== ConfigMap" in done.stdout
    assert "+  text: hello" in done.stdout
    assert "swordfish" not in done.stdout + done.stderr
    assert "c3dvcmRmaXNo" not in done.stdout  # nor in base64
    assert "+  it: ++++++++" in done.stdout
    assert "2 objects differ" in done.stderr
    assert mooring("app", "diff", shop, "--exit-code=false").returncode == 0
    programs = json.loads(mooring("app", "diff", shop, "-o", "json").stdout)
    data = {(each["kind"], each["name"]): each["desired"]["data"] for each in programs}
    assert data == {
        ("ConfigMap", "greeting"): {"text": "hello"},
        ("Secret", "password"): {"it": "++++++++"},
    }
    assert [each["live"] for each in programs] == [None, None]
    names = mooring("app", "diff", shop, "-o", "name").stdout.splitlines()
    assert {name.partition(" ")[0] for name in names} == {"ConfigMap", "Secret"}


def test_manifests_of_git_are_shown_with_secrets_masked(mooring: Mooring, shop: str) -> None:
    done = mooring("app", "manifests", shop)
    bodies = list(yaml.safe_load_all(done.stdout))
    assert [body["metadata"]["name"] for body in bodies] == ["greeting", "password"]
    assert "swordfish" not in done.stdout
    assert json.loads(mooring("app", "manifests", shop, "-o", "json").stdout)["items"] == bodies
    assert mooring("app", "manifests", shop, "-o", "name").stdout == "ConfigMap greeting\nSecret password\n"


def test_a_revision_that_is_not_there_is_named(mooring: Mooring, shop: str) -> None:
    done = mooring("app", "diff", shop, "--revision", "nowhere")
    assert done.returncode == 20
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sync_is_written_onto_the_application_as_argo_cd_writes_it(
    mooring: Mooring, shop: str, cluster: Cluster, namespace: str
) -> None:
    done = mooring("app", "sync", shop, "--prune", "--revision", "v1", "--async")
    assert done.returncode == 0, done.stderr
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications/shop"
    operation = devcluster.ask(cluster, path)["operation"]
    assert operation["sync"] == {"prune": True, "revision": "v1"}
    assert operation["initiatedBy"]["username"]
    second = mooring("app", "sync", shop, "--async")
    assert second.returncode == 20
    assert "another operation waits already" in second.stderr


def test_waiting_ends_with_what_it_is_waiting_for(mooring: Mooring, shop: str) -> None:
    done = mooring("app", "wait", shop, "--sync", "--timeout", "0.3")
    assert done.returncode == 20
    assert "not done after 0.3 s" in done.stderr
    assert "`mooring app get shop" in done.stderr


def test_deleting_asks_and_says_what_stays(mooring: Mooring, shop: str, namespace: str) -> None:
    asked = mooring("app", "delete", shop, given="n\n")
    assert asked.returncode == 1
    assert asked.stdout == f"Delete Application {namespace}/shop? [y/N]: "
    assert mooring("app", "get", shop, "-o", "name").returncode == 0
    assert mooring("app", "delete", "-l", "team=sea", "--yes").returncode == 13
    done = mooring("app", "delete", "-l", "!team", "--yes", "--cascade=false")
    assert done.stdout == f"{namespace}/shop deleted\n"
    assert mooring("app", "get", shop).returncode == 13


def test_its_objects_are_asked_to_be_deleted_with_it_as_argo_cd_asks_for_that(
    mooring: Mooring, shop: str, namespace: str, cluster: Cluster
) -> None:
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications/shop"
    finalizer = "resources-finalizer.argocd.argoproj.io"
    for policy in ("background", "foreground"):  # once it is being deleted it is too late for another
        done = mooring("app", "delete", shop, "--yes", "-p", policy)
        assert done.stdout == f"{namespace}/shop is being deleted\n"
        metadata = devcluster.ask(cluster, path)["metadata"]
        assert (metadata["finalizers"], "deletionTimestamp" in metadata) == (
            [f"{finalizer}/background"],
            True,
        )
    refused = mooring("app", "delete", shop, "--yes", "--no-cascade", "-p", "foreground")
    assert refused.returncode == 2
    assert "not with --no-cascade" in refused.stderr
    assert mooring("app", "delete", shop, "--yes", "--no-cascade").returncode == 0
    assert mooring("app", "get", shop).returncode == 13


@pytest.mark.parametrize(
    ("healths", "said"),
    [
        ((), ""),
        (("Missing",), ""),
        (("Healthy", "Missing"), "1 object is deleted with it, but for what is marked to stay"),
        ((None, "Degraded"), "2 objects are deleted with it, but for what is marked to stay"),
    ],
)
def test_what_is_taken_along_is_counted(healths: tuple[str | None, ...], said: str) -> None:
    objects = [{"kind": "ConfigMap"} | ({"health": {"status": word}} if word else {}) for word in healths]
    assert taken(application({"resources": objects})) == said


@pytest.mark.parametrize(
    ("healths", "conditions", "said"),
    [
        ((), (), ""),
        (("Missing", "Missing"), (), ""),
        (("Missing",), ("SharedResourceWarning",), ""),
        (("Healthy", "Missing"), (), "1 object stays in the cluster, with nobody to keep it as in Git"),
        ((None, "Degraded"), (), "2 objects stay in the cluster, with nobody to keep them as in Git"),
        (
            ("Healthy", "Healthy"),
            ("SharedResourceWarning",),
            "those of its objects that no other app owns stay in the cluster",
        ),
    ],
)
def test_what_is_left_behind_is_counted_only_when_it_is_known(
    healths: tuple[str | None, ...], conditions: tuple[str, ...], said: str
) -> None:
    objects = [{"kind": "ConfigMap"} | ({"health": {"status": word}} if word else {}) for word in healths]
    told = [{"type": type_, "message": "ConfigMap a belongs to app b"} for type_ in conditions]
    assert left(application({"resources": objects, "conditions": told})) == said


def test_flags_say_what_argocd_flags_say(mooring: Mooring, shop: str, git_repo: Repository) -> None:
    done = mooring(
        *("app", "create", "blog", "--repo", git_repo.url, "--path", "blog", "--project", "default"),
        *("--directory-recurse", "--directory-include", "*.yaml", "--directory-exclude", "test*"),
        *("--sync-policy", "automatic", "--auto-prune", "--self-heal=true", "--allow-empty=false"),
        *("--sync-option", "CreateNamespace=true", "--revision-history-limit", "3"),
        *("--sync-retry-limit", "4", "--sync-retry-backoff-duration", "2s"),
        *("--label", "team=sea", "--annotations", "note=a=b", "-o", "yaml"),
    )
    assert done.returncode == 0, done.stderr
    body = yaml.safe_load(done.stdout)
    assert body["metadata"]["labels"] == {"team": "sea"}
    assert body["metadata"]["annotations"] == {"note": "a=b"}
    directory = {"recurse": True, "include": "*.yaml", "exclude": "test*"}
    assert body["spec"]["source"] == {"repoURL": git_repo.url, "path": "blog", "directory": directory}
    assert body["spec"]["revisionHistoryLimit"] == 3
    assert body["spec"]["syncPolicy"] == {
        "automated": {"prune": True, "selfHeal": True, "allowEmpty": False},
        "syncOptions": ["CreateNamespace=true"],
        "retry": {"limit": 4, "backoff": {"duration": "2s", "factor": 2, "maxDuration": "3m0s"}},
    }


def test_an_upsert_with_what_is_there_changes_nothing() -> None:
    live = {"metadata": {"labels": {"a": "1"}, "finalizers": ["f"]}, "spec": {"project": "p", "x": {"y": 1}}}
    assert difference(live, {"metadata": {"labels": {"a": "1"}}, "spec": live["spec"]}) == {}
    wanted = {"metadata": {"labels": {"b": "2"}}, "spec": {"project": "q"}}
    assert difference(live, wanted) == {
        "metadata": {"labels": {"b": "2"}},
        "spec": {"project": "q", "x": None},
    }


def test_flags_go_on_top_of_a_manifest() -> None:
    manifest = {"metadata": {"name": "a"}, "spec": {"source": {"repoURL": "x", "path": "p"}}, "status": {}}
    body = merged(manifest, None, _NOTHING | {"path": "q", "labels": ("team=sea",)})
    assert body["spec"]["source"] == {"repoURL": "x", "path": "q"}
    assert body["metadata"]["labels"] == {"team": "sea"}
    assert "status" not in body


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (None, {"repo": "x"}),
        ("a", {}),
        ("a", {"repo": "x", "auto_prune": True}),
        ("a", {"repo": "x", "sync_retry_backoff_duration": "5s"}),
        ("a", {"repo": "x", "labels": ("team",)}),
    ],
)
def test_flags_that_say_too_little_are_wrong_usage(name: str | None, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        merged({}, name, _NOTHING | given)

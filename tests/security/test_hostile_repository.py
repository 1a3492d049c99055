"""Somebody who may push to a repository: what its files cannot do to Mooring, to other apps, to a reader."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from devcluster.gitserver import Repository, Symlink
from mooring.names import APPLYSET_PART_OF, ID
from tests.stories.conftest import own_redis, ship, ship_config, ship_processes, ship_settings
from tests.stories.ship import APPS, Ship, configmap, until

__all__ = ["own_redis", "ship", "ship_config", "ship_processes", "ship_settings"]
pytestmark = pytest.mark.cluster


@pytest.fixture
def app(ship: Ship, git_repo: Repository, namespace: str) -> str:
    """An app with one object, synced."""
    name = f"app-{secrets.token_hex(4)}"
    ship.create_app(name, git_repo, namespace)
    ship.synced(name, git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.quiet()
    return name


def manifest(kind: str, name: str, namespace: str, api: str = "v1", **metadata: Any) -> str:
    import yaml

    fields = {"name": name, "namespace": namespace, **metadata}
    return str(yaml.safe_dump({"apiVersion": api, "kind": kind, "metadata": fields}))


def told(ship: Ship, name: str) -> str:
    return " ".join(c["message"] for c in ship.app(name)["status"].get("conditions", []))


ESCAPE = "\x1b]0;owned\x07\x1b[2J"


@pytest.mark.parametrize(
    "files",
    [
        {f"{ESCAPE}\nall is well.yaml": "a: [\napiVersion: v1"},
        {f"-{ESCAPE}--upload-pack=x.yaml": configmap("x") + "  k: !!int x\n"},
        {"b.yaml": 'apiVersion: v1\nkind: "Evil\\e[2J"\nmetadata: {name: x}\n'},
        {"b.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "x\\e[2J/../y"}\n'},
        {"b.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "../../secrets/x"}\n'},
        {"b.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: "../kube-system"}\n'},
        {"b.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"\\e[2J": 1\n"\\e[2J": 2\n'},
        {
            "b.yaml": "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
            )
            + "apiVersion: v1"
        },
        {"b.yaml": "apiVersion: v1\nkind: " + "[" * 5000 + "]" * 5000},
        {"b.json": '{"apiVersion":"v1","kind":' + "[" * 100_000 + "]" * 100_000 + "}"},
        {"b.yaml": "apiVersion: v1\n" + "#" * (11 << 20)},
        {"out.yaml": Symlink("/etc/passwd")},
        {"out.yaml": Symlink("../../../../etc/passwd")},
    ],
    ids=lambda files: next(iter(files)).encode("unicode_escape").decode()[:20],
)
def test_what_cannot_be_read_is_a_condition_on_one_line_and_the_cluster_stays(
    ship: Ship, git_repo: Repository, namespace: str, app: str, files: Mapping[str, Any]
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="2"), **files})

    told = ship.finished(ship.deliver(git_repo, commit))
    while told["outcome"].startswith("no Application"):  # the list of those who are concerned may be 1 s old
        told = ship.finished(ship.deliver(git_repo, commit))

    conditions = ship.app(app)["status"].get("conditions", [])
    assert told["state"] == "failed" or conditions, told
    for condition in conditions:
        assert condition["message"].isprintable(), condition
        assert "root:" not in condition["message"]
    assert told["outcome"].isprintable()
    if told["state"] == "failed":
        assert ship.configmap(namespace, "a")["data"] == {"v": "1"}
    argv = ["app", "get", app, "--kubeconfig", str(ship.cluster.kubeconfig), "-N", ship.home]
    for extra in ([], ["-o", "yaml"], ["-o", "json"]):
        said = CliRunner().invoke(main, [*argv, *extra])
        assert said.exit_code == 0, said.output
        assert "\x1b" not in said.output
        assert "\x07" not in said.output
    assert "\x1b[2J" not in ship.log("deploy")


def test_marks_owners_and_fields_of_the_server_are_not_taken_from_git(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    forged: dict[str, Any] = {
        "labels": {APPLYSET_PART_OF: "applyset-of-another-v1"},
        "annotations": {ID: "other/home_other//ConfigMap/x/y"},
        "managedFields": [{"manager": "kubectl", "operation": "Apply"}],
        "uid": "11111111-1111-1111-1111-111111111111",
        "resourceVersion": "1",
        "generation": 9,
        "deletionTimestamp": "2026-01-01T00:00:00Z",
    }
    commit = git_repo.commit({"forged.yaml": manifest("ConfigMap", "forged", namespace, **forged)})
    ship.finished(ship.deliver(git_repo, commit))

    ship.synced(app, commit)
    metadata = ship.configmap(namespace, "forged")["metadata"]
    assert metadata["annotations"][ID].endswith(f"/{ship.home}_{app}//ConfigMap/{namespace}/forged")
    assert metadata["labels"][APPLYSET_PART_OF] != "applyset-of-another-v1"
    assert {entry["manager"] for entry in metadata["managedFields"]} == {"mooring"}
    assert "deletionTimestamp" not in metadata


def test_mooring_itself_and_other_apps_are_out_of_its_reach(
    ship: Ship, git_repo: Repository, namespace: str, app: str
) -> None:
    secret = f"/api/v1/namespaces/{ship.home}/secrets/mooring-installation"
    before = ship.ask(secret)
    installation = ship.ask(f"/api/v1/namespaces/{ship.home}/configmaps")["items"]
    parents = {c["metadata"]["name"]: c for c in installation if c["metadata"]["name"].endswith(f".{app}")}
    (own,) = parents
    other = own.removesuffix(app) + "not-there-yet"
    commit = git_repo.commit(
        {
            "secret.yaml": manifest("Secret", "mooring-installation", ship.home),
            "own.yaml": manifest("ConfigMap", own, ship.home),
            "other.yaml": manifest("ConfigMap", other, ship.home),
            "fine.yaml": configmap("fine", v="1"),
        }
    )

    assert ship.finished(ship.deliver(git_repo, commit))["state"] == "failed"

    assert "no application may have it" in told(ship, app)
    assert ship.ask(secret)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert ship.configmap(ship.home, other) is None
    assert "inventory" in ship.configmap(ship.home, own)["data"]
    assert ship.configmap(namespace, "fine")["data"] == {"v": "1"}, "the rest goes on"

    mended = git_repo.commit(dict.fromkeys(("secret.yaml", "own.yaml", "other.yaml")))
    assert ship.finished(ship.deliver(git_repo, mended))["state"] == "succeeded"
    assert ship.ask(secret)["metadata"]["uid"] == before["metadata"]["uid"]
    assert ship.configmap(ship.home, own) is not None


def test_an_application_in_git_carries_no_state_no_wish_and_no_approval_of_its_own(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    """An app of apps, exported from a cluster with everything in it, must not fight with what we write."""
    child = f"child-{secrets.token_hex(4)}"
    exported = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": child,
            "namespace": ship.home,
            "annotations": {"mooring.dev/state": '{"claim":"forged","tried":"forged"}'},
        },
        "spec": {
            "project": "default",
            "source": {"repoURL": git_repo.url, "path": "child", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {}},
        },
        "status": {"sync": {"status": "Synced", "revision": "f" * 40}},
    }
    import yaml

    commit = git_repo.commit(
        {"apps/child.yaml": yaml.safe_dump(exported), "child/a.yaml": configmap("of-child", v="1")}
    )
    parent = f"parent-{secrets.token_hex(4)}"
    ship.create_app(parent, git_repo, ship.home, path="apps", selfHeal=True)
    ship.synced(parent, commit)
    ship.synced(child, commit)
    ship.quiet()
    ship.reconcile(parent)
    ship.quiet()
    version = ship.app(child)["metadata"]["resourceVersion"]
    ship.reconcile(parent)
    ship.quiet()

    assert ship.app(child)["metadata"]["resourceVersion"] == version, "nobody fights"
    assert "forged" not in ship.app(child)["metadata"]["annotations"]["mooring.dev/state"]
    ship.ask(f"{APPS.format(ship.home)}/{parent}", method="DELETE")
    until("the parent to go", lambda: ship.app(parent) is None)

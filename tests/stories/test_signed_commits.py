"""Where a project names signature keys, only what one of them has signed is deployed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster.gitserver import GitServer, Repository
from tests.signing import Keyring, Signer, ssh_signer
from tests.stories.ship import APPS, Ship, configmap, until
from tests.stories.test_permissions import MERGE, project

pytestmark = pytest.mark.cluster
LABELS = {"app.kubernetes.io/part-of": "argocd"}


@pytest.fixture(scope="module")
def ring() -> Iterator[Keyring]:
    with Keyring() as found:
        yield found


@pytest.fixture
def other_repo(git_server: GitServer) -> Repository:
    return git_server.create(f"other-{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def alice(ring: Keyring, ship: Ship) -> Signer:
    """Somebody whose GPG key is where Argo CD has them."""
    found = ring.signer("alice")
    keys(ship, "argocd-gpg-keys-cm", {found.primary: ring.public(found)})
    project(ship, "alices", signatureKeys=[{"keyID": found.key}])
    return found


@pytest.fixture(scope="module")
def bob(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return ssh_signer(tmp_path_factory.mktemp("bob"), "bob")


def keys(ship: Ship, name: str, data: dict[str, str]) -> None:
    path = f"/api/v1/namespaces/{ship.home}/configmaps"
    ship.ask(path, {"metadata": {"name": name, "labels": LABELS}, "data": data})


def unsigned(ship: Ship, app: str, text: str) -> None:
    condition = ship.condition(app, text)
    assert condition["type"] == "ComparisonError", condition
    assert "spec.signatureKeys" in condition["message"]
    ship.quiet()


def value(ship: Ship, namespace: str, name: str = "a") -> Any:
    found = ship.configmap(namespace, name)
    return found and found["data"]["v"]


def test_only_signed_commits_are_deployed(
    ship: Ship, git_repo: Repository, namespace: str, alice: Signer
) -> None:
    git_repo.commit({"app/a.yaml": configmap("a", v="1")})
    ship.create_app("signed", git_repo, namespace, path="app", spec={"project": "alices"}, selfHeal=True)
    unsigned(ship, "signed", "is not signed; project alices deploys only what is signed")
    assert value(ship, namespace) is None

    first = alice.commit(git_repo, git_repo.commit({"app/a.yaml": configmap("a", v="2")}))
    assert ship.finished(ship.deliver(git_repo, first))["state"] == "succeeded"
    ship.synced("signed", first)
    assert value(ship, namespace) == "2"

    # What is not signed is told, and what was deployed stays.
    bad = git_repo.commit({"app/a.yaml": configmap("a", v="3"), "app/b.yaml": configmap("b", v="3")})
    told = ship.finished(ship.deliver(git_repo, bad))
    assert (told["state"], f"{bad[:12]} is not signed" in told["outcome"]) == ("failed", True)
    unsigned(ship, "signed", f"{bad[:12]} is not signed")
    assert (value(ship, namespace), value(ship, namespace, "b")) == ("2", None)
    state = ship.operate("signed", revision=bad)["status"]["operationState"]
    assert state["phase"] in ("Error", "Failed") and "is not signed" in state["message"]
    assert (value(ship, namespace), value(ship, namespace, "b")) == ("2", None)

    # A commit on top of it that is signed vouches for all of its files.
    second = alice.commit(git_repo, git_repo.commit({"app/a.yaml": configmap("a", v="4")}))
    ship.deliver(git_repo, second)
    ship.synced("signed", second)
    assert (value(ship, namespace), value(ship, namespace, "b")) == ("4", "3")
    assert not ship.app("signed")["status"].get("conditions")


def test_a_commit_that_changes_nothing_of_the_app_must_be_signed_too(
    ship: Ship, git_repo: Repository, namespace: str, alice: Signer
) -> None:
    ship.create_app("elsewhere", git_repo, namespace, path="app", spec={"project": "alices"})
    ship.synced("elsewhere", alice.commit(git_repo, git_repo.commit({"app/a.yaml": configmap("a", v="1")})))
    ship.quiet()
    bad = git_repo.commit({"other/b.yaml": configmap("b", v="1")})
    ship.deliver(git_repo, bad)
    unsigned(ship, "elsewhere", f"{bad[:12]} is not signed")
    good = alice.commit(git_repo, git_repo.commit({"other/b.yaml": configmap("b", v="2")}))
    ship.deliver(git_repo, good)
    ship.synced("elsewhere", good)
    assert not ship.app("elsewhere")["status"].get("conditions")


def test_a_key_that_the_project_does_not_list_deploys_nothing(
    ship: Ship, git_repo: Repository, namespace: str, alice: Signer, ring: Keyring
) -> None:
    mallory = ring.signer("mallory")
    mallory.commit(git_repo, git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.create_app("foreign", git_repo, namespace, spec={"project": "alices"})
    unsigned(
        ship, "foreign", f"is signed by GPG key {mallory.key}, which ConfigMap argocd-gpg-keys-cm does not"
    )
    assert value(ship, namespace) is None


def test_an_ssh_key_deploys_once_it_is_trusted_and_no_longer_than_that(
    ship: Ship, git_repo: Repository, namespace: str, bob: Signer
) -> None:
    project(ship, "bobs", signatureKeys=[{"keyID": bob.key}])
    first = bob.commit(git_repo, git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.create_app("by-ssh", git_repo, namespace, spec={"project": "bobs"})
    unsigned(ship, "by-ssh", f"is signed by SSH key {bob.key}, for which allowed_signers in ConfigMap")
    assert value(ship, namespace) is None

    keys(ship, "mooring-ssh-signers-cm", {"allowed_signers": f"bob@example.org {bob.public}\n"})
    ship.synced("by-ssh", first)
    assert value(ship, namespace) == "1"

    path = f"/api/v1/namespaces/{ship.home}/configmaps/mooring-ssh-signers-cm"
    ship.ask(path, {"data": {"allowed_signers": ""}}, **MERGE)
    unsigned(ship, "by-ssh", "has no line that is valid now")
    ship.read_anew()
    second = bob.commit(git_repo, git_repo.commit({"a.yaml": configmap("a", v="2")}))
    ship.finished(ship.deliver(git_repo, second))
    assert value(ship, namespace) == "1"


def test_of_an_annotated_tag_its_own_signature_counts(
    ship: Ship, git_repo: Repository, namespace: str, alice: Signer
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1")})
    git_repo._git(
        "-c", "user.name=x", "-c", "user.email=x@example.org", "tag", "-m", "v1.0.0", "v1.0.0", first
    )
    ship.create_app("tagged", git_repo, namespace, revision="1.*", spec={"project": "alices"}, selfHeal=True)
    unsigned(ship, "tagged", "by tag v1.0.0: is not signed")
    assert value(ship, namespace) is None

    alice.tag(git_repo, "v1.0.1", first)
    ship.deliver(git_repo, first, ref="refs/tags/v1.0.1")
    ship.synced("tagged", first)
    assert value(ship, namespace) == "1"

    # The tag vouches for what it was deployed as, whenever that is put back.
    ship.ask(f"/api/v1/namespaces/{namespace}/configmaps/a", {"data": {"v": "drift"}}, **MERGE)
    ship.reconcile("tagged")
    until("what was signed to be back", lambda: value(ship, namespace) == "1")


def test_what_is_not_from_git_is_never_signed(
    ship: Ship, namespace: str, alice: Signer, git_repo: Repository
) -> None:
    chart = {"repoURL": "https://charts.invalid", "chart": "web", "targetRevision": "1.0.0"}
    ship.create_app("chart", git_repo, namespace, spec={"project": "alices", "source": chart})
    unsigned(ship, "chart", "spec.source: project alices deploys only what is signed")
    artifact = {"repoURL": "oci://registry.invalid/web", "targetRevision": "1.0.0", "path": "."}
    ship.create_app("artifact", git_repo, namespace, spec={"project": "alices", "source": artifact})
    unsigned(ship, "artifact", "only Git's commits and tags have signatures that are checked")


def test_of_several_sources_each_must_be_signed(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str, alice: Signer
) -> None:
    first = alice.commit(git_repo, git_repo.commit({"a.yaml": configmap("a", v="1")}))
    other_repo.commit({"b.yaml": configmap("b", v="1")})
    sources = [
        {"repoURL": repo.url, "path": ".", "targetRevision": "main"} for repo in (git_repo, other_repo)
    ]
    ship.create_app("several", git_repo, namespace, spec={"project": "alices", "sources": sources})
    unsigned(ship, "several", "sources[1]: ")
    assert value(ship, namespace) is None
    second = alice.commit(other_repo, other_repo.resolve("main") or "")
    ship.deliver(other_repo, second)
    ship.synced_all("several", first, second)


def test_a_project_may_want_signatures_for_some_repositories_only(
    ship: Ship, git_repo: Repository, other_repo: Repository, namespace: str, alice: Signer
) -> None:
    policy = {"repos": [{"url": git_repo.url}], "gpg": {"mode": "head", "keys": [alice.key]}}
    project(ship, "some", sourceIntegrity={"git": {"policies": [policy]}})
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    free = other_repo.commit({"b.yaml": configmap("b", v="1")})
    ship.create_app("strict", git_repo, namespace, spec={"project": "some"})
    ship.create_app("free", other_repo, namespace, spec={"project": "some"})
    ship.synced("free", free)
    condition = ship.condition("strict", "deploys only what is signed by one of its spec.sourceIntegrity")
    assert condition["type"] == "ComparisonError"
    assert (value(ship, namespace), value(ship, namespace, "b")) == (None, "1")
    good = alice.commit(git_repo, git_repo.resolve("main") or "")
    ship.deliver(git_repo, good)
    ship.synced("strict", good)


def test_a_project_that_begins_to_want_signatures_is_heeded_at_once(
    ship: Ship, git_repo: Repository, namespace: str, alice: Signer
) -> None:
    project(ship, "later")
    ship.create_app("later", git_repo, namespace, spec={"project": "later"}, selfHeal=True)
    ship.synced("later", git_repo.commit({"a.yaml": configmap("a", v="1")}))
    path = APPS.format(ship.home).replace("/applications", "/appprojects/later")
    ship.ask(path, {"spec": {"signatureKeys": [{"keyID": alice.key}]}}, **MERGE)
    unsigned(ship, "later", "is not signed")
    assert value(ship, namespace) == "1"

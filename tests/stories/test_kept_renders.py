"""A chart that draws a password gives another one each time: what was deployed stays, whoever renders it."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.gitserver import GitServer, Repository
from tests.definitions import definition
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster

TEMPLATE = (
    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: drawn\n"
    "stringData:\n  password: {{ randAlphaNum (int .Values.length) | quote }}\n"
)
FILES = {
    "app/kustomization.yaml": "helmCharts: [{name: drawn, releaseName: drawn}]\n",
    "app/charts/drawn/Chart.yaml": "apiVersion: v2\nname: drawn\nversion: 1.0.0\n",
    "app/charts/drawn/values.yaml": "length: 20\n",
    "app/charts/drawn/templates/secret.yaml": TEMPLATE,
}
# Else a kind that another story brings to the cluster meanwhile would have it kept anew.
PINNED = {"kubeVersion": "1.33.0", "apiVersions": ["v1"]}
# The same by Helm itself.
CHART = {
    "chart/Chart.yaml": "apiVersion: v2\nname: drawn\nversion: 1.0.0\n",
    "chart/values.yaml": "length: 20\n",
    "chart/templates/secret.yaml": TEMPLATE,
}


@pytest.fixture(scope="module")
def ship_settings(tools: Path) -> dict[str, str]:
    return {"MOORING_KUSTOMIZE_ENABLE_HELM": "1"}


def source(repo: Repository, path: str, **options: Any) -> dict[str, Any]:
    return {"repoURL": repo.url, "path": path, "targetRevision": "main", **options}


@pytest.fixture
def drawn(ship: Ship, git_repo: Repository, namespace: str) -> str:
    commit = git_repo.commit(FILES)
    own = source(git_repo, "app", kustomize=PINNED)
    ship.create_app("drawn", git_repo, namespace, spec={"source": own}, selfHeal=True)
    ship.synced("drawn", commit)
    ship.condition("drawn", "each render gives other manifests")
    return commit


def password(ship: Ship, namespace: str) -> str:
    found = ship.find(f"/api/v1/namespaces/{namespace}/secrets/drawn")
    return base64.b64decode(found["data"]["password"]).decode() if found else ""


def kept(ship: Ship, name: str = "drawn") -> list[Any]:
    items = ship.ask(f"/api/v1/namespaces/{ship.home}/secrets")["items"]
    found = [item for item in items if item["metadata"]["name"].startswith("mooring-render-")]
    app = f"{ship.home}/{name}"  # those of other stories' apps stay with their inventories
    return [item for item in found if item["metadata"]["annotations"]["mooring.dev/app"] == app]


def spoil(ship: Ship, namespace: str) -> None:
    """Somebody changes the password in the cluster."""
    ship.kubectl("-n", namespace, "patch", "secret", "drawn", "-p", '{"stringData": {"password": "spoilt"}}')


def test_drift_is_mended_with_the_password_that_was_deployed(ship: Ship, drawn: str, namespace: str) -> None:
    first = password(ship, namespace)
    assert len(first) == 20
    assert len(kept(ship)) == 1
    assert first not in str(kept(ship))

    spoil(ship, namespace)
    ship.reconcile("drawn")

    until("the drift to be mended", lambda: password(ship, namespace) == first)
    ship.refresh("drawn", "hard")
    assert password(ship, namespace) == first


def test_a_lost_password_is_not_replaced_until_somebody_asks(ship: Ship, drawn: str, namespace: str) -> None:
    for item in kept(ship):
        ship.kubectl("-n", ship.home, "delete", "secret", item["metadata"]["name"])
    spoil(ship, namespace)
    ship.reconcile("drawn")
    ship.condition("drawn", "drift is not corrected")
    ship.reconcile("drawn")
    assert password(ship, namespace) == "spoilt"

    assert ship.mooring("app", "sync", "drawn", "--timeout", "60").returncode == 0
    anew = password(ship, namespace)
    assert len(anew) == 20
    assert len(kept(ship)) == 1
    spoil(ship, namespace)
    ship.reconcile("drawn")
    until("the drift to be mended", lambda: password(ship, namespace) == anew)


def test_a_new_commit_draws_a_new_one_and_lets_go_of_the_old(
    ship: Ship, drawn: str, git_repo: Repository, namespace: str
) -> None:
    before = kept(ship)
    commit = ship.pushed(git_repo, {"app/charts/drawn/values.yaml": "length: 30\n"})
    ship.synced("drawn", commit)
    assert len(password(ship, namespace)) == 30
    after = until("the old one to go", lambda: kept(ship) if len(kept(ship)) == 1 else None)
    assert after != before


def forget(ship: Ship) -> None:
    """Whatever the workers kept of renders on their disks is gone, as on machines that are new."""
    ship.quiet()  # nobody writes there meanwhile
    for directory in ship.directory.glob("state-*/renders"):
        shutil.rmtree(directory)


def lose(ship: Ship, name: str) -> None:
    for item in kept(ship, name):
        ship.kubectl("-n", ship.home, "delete", "secret", item["metadata"]["name"])


def told(ship: Ship, name: str, word: str) -> None:
    """Waits until it is known what a second render gave."""
    key = "mooring.dev/state"
    until(
        f"a second render that {word}",
        lambda: f" {word}" in ship.app(name)["metadata"].get("annotations", {}).get(key, ""),
    )


@pytest.fixture
def charted(ship: Ship, git_repo: Repository, namespace: str) -> str:
    commit = git_repo.commit(CHART)
    own = source(git_repo, "chart", helm=PINNED)
    ship.create_app("charted", git_repo, namespace, spec={"source": own}, selfHeal=True)
    ship.synced("charted", commit)
    told(ship, "charted", "differs")
    return commit


def test_a_render_that_gave_the_same_again_loses_nothing_with_what_was_kept(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    always_20 = TEMPLATE.replace("randAlphaNum (int .Values.length)", "randInt 20 21")
    commit = git_repo.commit({**CHART, "chart/templates/secret.yaml": always_20})
    own = source(git_repo, "chart", helm=PINNED)
    ship.create_app("steady", git_repo, namespace, spec={"source": own}, selfHeal=True)
    ship.synced("steady", commit)
    told(ship, "steady", "same")
    lose(ship, "steady")

    spoil(ship, namespace)
    ship.reconcile("steady")

    until("the drift to be mended", lambda: password(ship, namespace) == "20")
    assert len(kept(ship, "steady")) == 1, "made anew at the write"
    ship.quiet()
    assert not ship.app("steady")["status"].get("conditions")


def test_a_chart_s_password_is_kept_for_workers_that_never_rendered_it(
    ship: Ship, charted: str, git_repo: Repository, namespace: str
) -> None:
    first = password(ship, namespace)
    assert len(first) == 20
    forget(ship)
    spoil(ship, namespace)
    ship.reconcile("charted")
    until("the drift to be mended", lambda: password(ship, namespace) == first)

    forget(ship)
    ship.refresh("charted")
    assert password(ship, namespace) == first
    ship.synced("charted", charted)

    commit = ship.pushed(git_repo, {"chart/values.yaml": "length: 30\n"})
    ship.synced("charted", commit)
    second = password(ship, namespace)
    assert len(second) == 30
    until("the old one to go", lambda: len(kept(ship, "charted")) == 1)
    spoil(ship, namespace)
    ship.reconcile("charted")
    until("the drift to be mended", lambda: password(ship, namespace) == second)


def test_of_two_sources_what_was_deployed_of_both_is_kept(
    ship: Ship, git_repo: Repository, git_server: GitServer, namespace: str
) -> None:
    plain = git_server.create(f"plain-{secrets.token_hex(5)}")
    drawn, web = git_repo.commit(CHART), plain.commit({"web.yaml": configmap("web", colour="grey")})
    sources = [source(git_repo, "chart", helm=PINNED), source(plain, ".")]
    ship.create_app("both", git_repo, namespace, spec={"sources": sources}, selfHeal=True)
    ship.synced_all("both", drawn, web)
    first = password(ship, namespace)
    told(ship, "both", "differs")
    forget(ship)
    spoil(ship, namespace)
    ship.reconcile("both")
    until("the drift to be mended", lambda: password(ship, namespace) == first)
    forget(ship)

    web = ship.pushed(plain, {"web.yaml": configmap("web", colour="blue")})

    ship.synced_all("both", drawn, web)
    assert ship.configmap(namespace, "web")["data"] == {"colour": "blue"}
    assert password(ship, namespace) == first, "the push was to the other source"
    forget(ship)
    spoil(ship, namespace)
    ship.reconcile("both")
    until("the drift to be mended", lambda: password(ship, namespace) == first)


@pytest.fixture
def new_kind(ship: Ship) -> Iterator[Callable[[], None]]:
    """Brings one to the cluster: all charts are rendered anew, for they may ask for it. Workers ask what is
    served as they begin, and seldom else: they begin anew."""
    boats = definition(f"k{secrets.token_hex(3)}.example.com", "Boat")

    def bring() -> None:
        ship.ask("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", boats)
        ship.kubectl(
            "wait", "--for=condition=Established", f"crd/{boats['metadata']['name']}", "--timeout=60s"
        )
        for pool in ("deploy", "slow", "reconcile"):
            ship.end(pool)
            (ship.directory / f"{pool}.log").write_text("")
            ship.start(pool)
        for pool in ("deploy", "slow", "reconcile"):
            ship.ready(pool)

    yield bring
    ship.kubectl("delete", "crd", boats["metadata"]["name"], "--ignore-not-found")


def remembered(ship: Ship, name: str, what: str) -> str:
    """A field of what the app remembers: `bundle` is the digest of what is kept, `inputs` what was read."""
    state = ship.app(name)["metadata"].get("annotations", {}).get("mooring.dev/state", "{}")
    return str(json.loads(state).get(what, ""))


def rendered_with_it(ship: Ship, name: str, what: str, before: str) -> None:
    """Waits until the app was rendered with a new kind, by what it remembers."""

    def look() -> bool:
        ship.refresh(name, "hard")
        return remembered(ship, name, what) != before

    until("it to be rendered with the new kind", look)


@pytest.fixture
def unpinned(ship: Ship, git_repo: Repository, namespace: str) -> str:
    """A chart that draws a password, rendered for whatever the cluster serves; the password."""
    commit = git_repo.commit(CHART)
    spec = {"source": source(git_repo, "chart")}
    ship.create_app("unpinned", git_repo, namespace, spec=spec, selfHeal=True)
    ship.synced("unpinned", commit)  # and what it drew is kept by then, whatever comes to the cluster
    drawn = password(ship, namespace)
    assert len(drawn) == 20
    return drawn


def test_a_kind_that_comes_to_the_cluster_draws_no_new_password(
    ship: Ship, unpinned: str, namespace: str, new_kind: Callable[[], None]
) -> None:
    before = remembered(ship, "unpinned", "bundle")

    new_kind()

    rendered_with_it(ship, "unpinned", "bundle", before)
    assert password(ship, namespace) == unpinned
    spoil(ship, namespace)
    ship.reconcile("unpinned")
    until("the drift to be mended", lambda: password(ship, namespace) == unpinned)
    assert "no difference" in ship.mooring("app", "diff", "unpinned").stderr


def test_a_lost_password_is_not_replaced_for_a_kind_that_comes_to_the_cluster(
    ship: Ship, unpinned: str, namespace: str, new_kind: Callable[[], None]
) -> None:
    lose(ship, "unpinned")
    forget(ship)
    before = remembered(ship, "unpinned", "inputs")

    new_kind()

    rendered_with_it(ship, "unpinned", "inputs", before)
    ship.condition("unpinned", "drift is not corrected")
    assert password(ship, namespace) == unpinned


def test_what_is_rolled_back_draws_anew_and_that_is_kept(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit(CHART)
    own = source(git_repo, "chart", helm=PINNED)
    ship.create_app("back", git_repo, namespace, spec={"source": own}, selfHeal=True)
    ship.synced("back", first)
    before = password(ship, namespace)
    ship.synced("back", ship.pushed(git_repo, {"chart/values.yaml": "length: 30\n"}))
    ship.patch_app("back", {"spec": {"syncPolicy": None}})
    ship.quiet()
    forget(ship)  # else a worker may still have the first one on its disk

    done = ship.mooring("app", "rollback", "back", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    after = password(ship, namespace)
    assert len(after) == 20
    assert after != before
    until("the other one to go", lambda: len(kept(ship, "back")) == 1)
    forget(ship)
    spoil(ship, namespace)
    assert ship.operate("back", revision=first)["status"]["operationState"]["phase"] == "Succeeded"
    assert password(ship, namespace) == after


def test_a_diff_is_with_what_was_deployed_as_far_as_that_may_be_read(
    ship: Ship, charted: str, git_repo: Repository, namespace: str
) -> None:
    same = ship.mooring("app", "diff", "charted")
    assert same.returncode == 0, same.stdout
    assert "no difference" in same.stderr
    assert "this is what was deployed" in same.stderr
    assert ship.mooring("app", "manifests", "charted").stderr.count("this is what was deployed") == 1

    new = git_repo.commit({"chart/values.yaml": "length: 30\n"})
    ahead = ship.mooring("app", "diff", "charted", "--revision", new)
    assert ahead.returncode == 1
    assert "1 object differs" in ahead.stderr
    assert "never deployed" in ahead.stderr

    # Somebody who may see the repositories' credentials, and not the installation's key.
    given = permitted(ship, "deckhand", [{"resources": ["secrets"], "verbs": ["list"]}])
    shown = ship.mooring("app", "manifests", "charted", "--kubeconfig", str(given))
    assert shown.returncode == 0, shown.stderr
    assert "cannot be told" in shown.stderr
    refused = ship.mooring("app", "diff", "charted", "--kubeconfig", str(given))
    assert refused.returncode not in (0, 1)
    assert "mooring-installation" in refused.stderr
    assert "Traceback" not in shown.stderr + refused.stderr


def permitted(ship: Ship, name: str, rules: list[dict[str, Any]]) -> Path:
    """A kubeconfig of somebody who may read Applications and do what `rules` of the core group say."""
    namespaced = f"/namespaces/{ship.home}"
    rbac = f"/apis/rbac.authorization.k8s.io/v1{namespaced}"
    ship.ask(f"/api/v1{namespaced}/serviceaccounts", {"metadata": {"name": name}})
    argo = {"apiGroups": ["argoproj.io"], "resources": ["*"], "verbs": ["get", "list"]}
    maps = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}
    own = [{"apiGroups": [""], **rule} for rule in rules]
    ship.ask(f"{rbac}/roles", {"metadata": {"name": name}, "rules": [argo, maps, *own]})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": ship.home}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    ship.ask(f"{rbac}/rolebindings", {"metadata": {"name": name}, "subjects": [subject], "roleRef": role})
    answer = ship.ask(f"/api/v1{namespaced}/serviceaccounts/{name}/token", {"spec": {}})
    config = yaml.safe_load(ship.cluster.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": answer["status"]["token"]}
    path = ship.directory / f"kubeconfig-{name}"
    path.write_text(yaml.safe_dump(config))
    return path

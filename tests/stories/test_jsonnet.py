"""Programs with a shared library: a push to it renders those apps that import it, and no others."""

from __future__ import annotations

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap
from tests.stories.test_kustomize import renders

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("tools")]

LIBRARY = """{
  map(name):: {
    apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: name },
    data: { colour: '%s', whose: std.extVar('whose') },
  },
}
"""


def test_a_push_to_a_library_renders_the_apps_that_import_it_and_a_broken_one_changes_nothing(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit(
        {
            "lib/k.libsonnet": LIBRARY % "blue",
            "lib/unused.libsonnet": "{}",
            "red/app.jsonnet": "(import 'k.libsonnet').map('red')",
            "alone/app.yaml": configmap("alone"),
        }
    )
    jsonnet = {"extVars": [{"name": "whose", "value": "of ${ARGOCD_APP_NAME}"}], "libs": ["lib"]}
    source = {"repoURL": git_repo.url, "path": "red", "targetRevision": "main"}
    ship.create_app(
        "reader", git_repo, namespace, spec={"source": {**source, "directory": {"jsonnet": jsonnet}}}
    )
    ship.create_app("alone", git_repo, namespace, path="alone")
    for name in ("reader", "alone"):
        assert ship.synced(name, first)["status"]["sourceType"] == "Directory"
    assert ship.configmap(namespace, "red")["data"] == {"colour": "blue", "whose": "of reader"}
    ship.quiet()

    second = git_repo.commit({"lib/k.libsonnet": LIBRARY % "white"})
    assert renders(ship.finished(ship.deliver(git_repo, second))) == 1
    for name in ("reader", "alone"):
        ship.synced(name, second)
    assert ship.configmap(namespace, "red")["data"] == {"colour": "white", "whose": "of reader"}
    ship.quiet()

    third = git_repo.commit({"lib/unused.libsonnet": "{ changed: true }"})
    assert renders(ship.finished(ship.deliver(git_repo, third))) == 0
    ship.synced("reader", third)

    git_repo.commit({"lib/k.libsonnet": "{ map(name):: error 'no map of ' + name }"})
    ship.refresh("reader")
    told = ship.condition("reader", "no map of red")["message"]
    assert told.endswith("lib/k.libsonnet:1: no map of red (evaluated for red/app.jsonnet)")
    assert ship.configmap(namespace, "red")["data"] == {"colour": "white", "whose": "of reader"}

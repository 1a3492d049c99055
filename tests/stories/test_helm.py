"""A Helm chart in Git is deployed as anything else is: by a push, and no more than it asks for."""

from __future__ import annotations

from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("tools")]

CHART = {
    "charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "charts/web/values.yaml": "colour: grey\n",
    "charts/web/templates/config.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-web}
data:
  colour: {{ .Values.colour }}
  size: {{ .Values.size | quote }}
  serves: {{ .Capabilities.APIVersions.Has "argoproj.io/v1alpha1/Application" | quote }}
""",
    "prod.yaml": "colour: blue\n",
}
HELM = {
    "valueFiles": ["/prod.yaml"],
    "parameters": [{"name": "size", "value": "10", "forceString": True}],
}
HOOK = """
apiVersion: v1
kind: ConfigMap
metadata: {name: before, annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-5"}}
"""


def chart(repo: Repository) -> dict[str, Any]:
    return {
        "source": {"repoURL": repo.url, "path": "charts/web", "targetRevision": "main", "helm": HELM},
    }


def test_a_chart_in_git_is_synced_by_a_push_of_its_values(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit(CHART)
    ship.create_app("shop", git_repo, namespace, spec=chart(git_repo))
    status = ship.synced("shop", first)["status"]
    assert status["sourceType"] == "Helm"
    deployed = ship.configmap(namespace, "shop-web")
    assert deployed["data"] == {"colour": "blue", "size": "10", "serves": "true"}
    ship.quiet()

    second = ship.pushed(git_repo, {"prod.yaml": "colour: green\n"})

    ship.synced("shop", second)
    changed = ship.configmap(namespace, "shop-web")
    assert changed["data"]["colour"] == "green"

    third = ship.pushed(git_repo, {"README.md": "of no chart\n", "charts/other/values.yaml": "a: b\n"})
    ship.synced("shop", third)
    untouched = ship.configmap(namespace, "shop-web")["metadata"]["resourceVersion"]
    assert untouched == changed["metadata"]["resourceVersion"]


def test_a_charts_hook_runs_before_what_the_chart_deploys(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({**CHART, "charts/web/templates/before.yaml": HOOK})
    ship.create_app("hooked", git_repo, namespace, spec=chart(git_repo))
    ship.synced("hooked", commit)
    (first, second) = ship.ended("hooked")["status"]["operationState"]["syncResult"]["resources"]
    assert (first["name"], first["hookType"], first["hookPhase"]) == ("before", "PreSync", "Succeeded")
    assert second["name"] == "hooked-web"
    assert ship.configmap(namespace, "before")
    assert ship.configmap(namespace, "hooked-web")
    shown = ship.mooring("app", "manifests", "hooked")
    assert shown.returncode == 0, shown.stderr
    assert "name: hooked-web" in shown.stdout and "name: before" in shown.stdout


def test_a_broken_chart_leaves_the_cluster_as_it_was_and_says_why(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("broken", git_repo, namespace, spec=chart(git_repo))
    ship.synced("broken", git_repo.commit(CHART))

    ship.pushed(
        git_repo, {"charts/web/templates/more.yaml": 'a: {{ required "give it a mast" .Values.mast }}'}
    )

    ship.condition("broken", "charts/web/templates/more.yaml:1: helm: execution error")
    assert "give it a mast" in until("the condition", lambda: str(ship.app("broken")["status"]["conditions"]))
    assert ship.configmap(namespace, "broken-web")["data"]["colour"] == "blue"

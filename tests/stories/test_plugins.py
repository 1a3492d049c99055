"""What the page on plugins says, done by an operator and a user."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from devcluster.gitserver import Repository
from tests.docs.pages import blocks, read
from tests.stories.ship import Ship, until
from tests.stories.test_kept_renders import forget, kept
from workers.confine.mode import mode

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not mode().strong, reason="nothing here would confine a plugin"),
]


@pytest.fixture(scope="module")
def ship_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("operator")
    (block,) = blocks("docs/plugins.md")
    typed = f'{block}\nprintf %s "$MOORING_PLUGINS_DIR"'
    done = subprocess.run(["bash", "-euc", typed], cwd=directory, capture_output=True, text=True, check=True)
    assert Path(done.stdout).is_dir()
    return {"MOORING_PLUGINS_DIR": done.stdout}


TEMPLATE = """apiVersion: v1
kind: ConfigMap
metadata: {name: @NAME@}
data: {colour: @COLOUR@}
"""


def test_a_plugin_of_the_page_deploys_what_it_makes(ship: Ship, git_repo: Repository, namespace: str) -> None:
    commit = git_repo.commit({"web/a.tmpl": TEMPLATE})
    (source,) = [
        yaml.safe_load(text)["spec"]["source"]
        for text in re.findall(r"^```yaml\n(.*?)^```$", read("docs/plugins.md"), re.M | re.S)
    ]
    repo = {"repoURL": git_repo.url, "targetRevision": "main"}
    ship.create_app("shop", git_repo, namespace, spec={"source": {**source, **repo}})
    ship.create_app("found", git_repo, namespace, path="web")
    for name, colour in (("shop", "blue"), ("found", "grey")):
        ship.synced(name, commit)
        assert ship.configmap(namespace, name)["data"] == {"colour": colour}

    broken = ship.pushed(git_repo, {"web/a.tmpl": None, "web/README.md": "nothing to fill in"})
    ship.condition("shop", "plugin template-v1.0 does not take web")
    assert ship.app("shop")["status"]["sync"]["status"] == "Unknown"
    assert ship.configmap(namespace, "shop"), f"{broken} is not taken for a wish to delete"


def test_a_push_that_changes_nothing_of_what_a_plugin_makes_loses_nothing(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("still", git_repo, namespace, path="web", selfHeal=True)
    ship.synced("still", git_repo.commit({"web/a.tmpl": TEMPLATE}))
    ship.synced("still", ship.pushed(git_repo, {"README": "read by whoever likes"}))
    ship.quiet()
    assert kept(ship, "still"), "nobody knows whether the plugin would make the same again"

    forget(ship)
    ship.kubectl("-n", namespace, "patch", "configmap", "still", "-p", '{"data": {"colour": "spoilt"}}')
    ship.reconcile("still")
    until("the drift to be mended", lambda: ship.configmap(namespace, "still")["data"] == {"colour": "grey"})

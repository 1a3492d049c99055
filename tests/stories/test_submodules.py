"""What lies in a submodule is deployed, and a push that moves it deploys the other commit."""

from __future__ import annotations

import secrets

import pytest

from devcluster.gitserver import Gitlink, GitServer, Repository
from tests.stories.ship import Ship, configmap

pytestmark = pytest.mark.cluster


def test_a_push_that_moves_a_submodule_deploys_what_is_there(
    ship: Ship, git_server: GitServer, git_repo: Repository, namespace: str
) -> None:
    library = git_server.create(f"library-{secrets.token_hex(4)}")
    first = library.commit({"deep/a.yaml": configmap("a", from_="first")})
    name = library.path.name
    commit = git_repo.commit(
        {
            ".gitmodules": f'[submodule "lib"]\n\tpath = apps/lib\n\turl = ../{name}\n',
            "apps/lib": Gitlink(first),
            "apps/b.yaml": configmap("b", v="1"),
        }
    )
    source = {"repoURL": git_repo.url, "targetRevision": "main", "directory": {"recurse": True}}
    ship.create_app("whole", git_repo, namespace, spec={"source": {**source, "path": "apps"}})
    ship.synced("whole", commit)
    assert ship.configmap(namespace, "a")["data"] == {"from_": "first"}
    assert ship.configmap(namespace, "b")

    second = library.commit({"deep/a.yaml": configmap("a", from_="second")})
    ship.synced("whole", ship.pushed(git_repo, {"apps/lib": Gitlink(second)}))
    assert ship.configmap(namespace, "a")["data"] == {"from_": "second"}

    ship.pushed(git_repo, {"apps/lib": Gitlink("1" * 40)})
    ship.condition("whole", "submodule apps/lib: ")
    assert ship.configmap(namespace, "a")["data"] == {"from_": "second"}

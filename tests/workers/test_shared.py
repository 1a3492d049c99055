"""Two apps that want one object are both told, whoever came first, and as long as both want it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from devcluster.gitserver import GitServer
from mooring.keys import IN_CLUSTER, AppKey
from mooring.settings import Settings
from tests.stories.ship import configmap, until
from tests.workers.skiff import Skiff
from workers import pipeline

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]

SHARED = "SharedResourceWarning"


class Rivals:
    """Two apps with an object each of their own, in one namespace."""

    def __init__(self, skiff: Skiff, git: GitServer, home: str) -> None:
        self.skiff, self.home = skiff, home
        self.namespace = f"{home}-apps"
        self.repo = git.create(f"rivals-{home}")
        self.repo.commit({f"{name}/own.yaml": configmap(f"own-{name}", v="1") for name in ("port", "star")})
        skiff.create_namespace(self.namespace)

    def want(self, name: str, *, automated: bool = True) -> None:
        """Have the app `name` want the object, and be looked at."""
        self.push({f"{name}/shared.yaml": configmap("shared", v=name)})
        if not self._is_there(name):
            self.skiff.create_app(
                name,
                {
                    "source": {"repoURL": self.repo.url, "path": name, "targetRevision": "main"},
                    "destination": {"server": IN_CLUSTER, "namespace": self.namespace},
                    "syncPolicy": {"automated": {"prune": True}} if automated else {},
                },
            )
        self.skiff.settle()

    def push(self, files: dict[str, Any]) -> None:
        self.repo.commit(files)
        pipeline.push(self.skiff.engine, self.repo.url, "main")
        self.skiff.settle()

    def delete(self, name: str) -> None:
        self.skiff.delete_app(name)
        until("the Application to be gone", lambda: not self._is_there(name))
        pipeline.reconcile(self.skiff.engine, "", "reconcile")
        self.skiff.settle()

    def _is_there(self, name: str) -> bool:
        return self.skiff.engine.applications.get(AppKey(self.home, name)) is not None

    def said(self, name: str) -> list[str]:
        """What the app says of the object; it says nothing of others."""
        found = [one for one in self.skiff.app(name).status.conditions if one.type == SHARED]
        assert all("shared" in one.message for one in found)
        return [one.message for one in found]

    @property
    def deployed(self) -> str | None:
        """Whose words the object has; None where it is not there."""
        return self.skiff.config_maps(self.namespace).get("shared")


@pytest.fixture
def rivals(skiff_settings: Settings, namespace: str, git_server: GitServer) -> Iterator[Rivals]:
    found = Rivals(Skiff(skiff_settings), git_server, namespace)
    yield found
    found.skiff.delete_namespace(found.namespace)


@pytest.mark.parametrize(("first", "second"), [("port", "star"), ("star", "port")])
def test_both_are_told_while_both_want_it_and_who_came_first_keeps_it(
    rivals: Rivals, first: str, second: str
) -> None:
    rivals.want(first)
    rivals.want(second)
    assert rivals.deployed == first
    assert rivals.said(first) == [
        f"ConfigMap {rivals.namespace}/shared: app {second} has it in Git too, and leaves it alone"
    ]
    assert rivals.said(second) == [
        f"ConfigMap {rivals.namespace}/shared: belongs to app {first}, which still has it in Git: remove it "
        "from one of the two"
    ]

    rivals.push({f"{second}/shared.yaml": None})
    assert (rivals.said(first), rivals.said(second)) == ([], []), "the second has let go"
    assert rivals.deployed == first

    rivals.want(second)
    assert rivals.said(first)
    rivals.push({f"{first}/shared.yaml": None})
    assert (rivals.said(first), rivals.said(second)) == ([], []), "the first has let go"
    assert rivals.deployed == second


def test_an_app_that_is_not_synced_by_itself_claims_it_too(rivals: Rivals) -> None:
    rivals.want("port")
    rivals.want("star", automated=False)
    assert rivals.said("port")
    assert rivals.said("star")
    rivals.push({"star/shared.yaml": None})
    assert not rivals.said("port")
    assert not rivals.said("star")


def test_who_is_deleted_claims_nothing_any_more(rivals: Rivals) -> None:
    rivals.want("port")
    rivals.want("star")
    rivals.delete("star")
    assert not rivals.said("port")
    assert rivals.deployed == "port"

    rivals.want("star")
    assert rivals.said("port")
    rivals.delete("port")
    assert not rivals.said("star")
    assert rivals.deployed == "star", "what nobody else wants any more is taken over"


def test_what_redis_forgets_is_said_again(rivals: Rivals) -> None:
    rivals.want("port")
    rivals.want("star")
    rivals.skiff.start_anew()
    for _ in range(2):  # whoever is asked first cannot know yet
        pipeline.reconcile(rivals.skiff.engine, "", "reconcile")
        rivals.skiff.settle()
    assert rivals.said("port")
    assert rivals.said("star")
    rivals.push({"star/shared.yaml": None})
    assert not rivals.said("port")

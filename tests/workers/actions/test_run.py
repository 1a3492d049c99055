"""What an action does about objects that change while it is run, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.settings import Settings
from mooring.store.outcomes import Outcome
from tests.stories.ship import configmap
from tests.workers.skiff import CONFIG_MAP, Skiff
from workers import pipeline
from workers.actions.action import Change
from workers.actions.catalogue import Actions
from workers.actions.run import run
from workers.scripts.sandbox import Sandbox

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]

COUNT = """\
discovery.lua: return {count = {}, loop = {}}
definitions:
- name: loop
  action.lua: while true do end
- name: count
  action.lua: |
    obj.data.count = tostring((tonumber(obj.data.count) or 0) + 1)
    return obj
"""


class Meanwhile(Actions):
    """Those of an engine, with somebody who does something each time that one was run, before it is
    written."""

    def __init__(self, actions: Actions, does: Callable[[int], None]) -> None:
        self._actions, self._does, self.times = actions, does, 0

    def run(
        self, name: str, body: dict[str, Any], given: Mapping[str, str], now: datetime
    ) -> tuple[Change, ...]:
        changes = self._actions.run(name, body, given, now)
        self.times += 1
        self._does(self.times)
        return changes


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox(Settings(state_dir=str(tmp_path)))
    yield sandbox
    sandbox.close()


@pytest.fixture
def skiff(skiff_settings: Settings, namespace: str, git_repo: Repository) -> Skiff:
    skiff = Skiff(skiff_settings)
    data = {"resource.customizations.actions.ConfigMap": COUNT}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": namespace},
    }
    skiff.engine.api.create(CONFIG_MAP, {**body, "data": data})
    git_repo.commit({"a.yaml": configmap("a", v="1")})
    skiff.create_app(
        "shop",
        {
            "source": {"repoURL": git_repo.url, "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {}},
        },
    )
    skiff.settle()
    return skiff


def outcome(skiff: Skiff, does: Callable[[int], None], action: str = "count") -> tuple[Outcome | None, int]:
    """How the action ends while somebody `does` something, and how often it came to an end."""
    meanwhile = Meanwhile(skiff.engine.actions, does)
    engine = replace(skiff.engine, actions=meanwhile)
    run(engine, "once", "shop", action, {"kind": "ConfigMap", "all": True})
    return engine.outcomes.of("once"), meanwhile.times


def data(skiff: Skiff, namespace: str) -> dict[str, str]:
    live = skiff.engine.api.get(CONFIG_MAP, namespace, "a")
    assert live is not None
    found: dict[str, str] = (live.body or {})["data"]
    return found


def test_an_object_that_has_changed_is_read_again_and_the_action_run_on_that(
    skiff: Skiff, namespace: str
) -> None:
    def edit(times: int) -> None:
        if times == 1:
            skiff.engine.api.patch(CONFIG_MAP, namespace, "a", {"data": {"count": "41"}})

    found, times = outcome(skiff, edit)

    assert (found, times) == (Outcome({f"ConfigMap {namespace}/a": "changed"}, {}), 2)
    assert data(skiff, namespace) == {"v": "1", "count": "42"}


def test_one_that_keeps_changing_is_left_alone(skiff: Skiff, namespace: str) -> None:
    found, times = outcome(skiff, lambda times: skiff.drift(namespace, "a", f"edit {times}"))
    assert found == Outcome({}, {f"ConfigMap {namespace}/a": "keeps changing: try again"})
    assert times == 2
    assert data(skiff, namespace) == {"v": "edit 2"}


def test_one_that_has_gone_is_not_brought_back(skiff: Skiff, namespace: str) -> None:
    def delete(_: int) -> None:
        live = skiff.engine.api.get(CONFIG_MAP, namespace, "a")
        assert live is not None
        skiff.engine.api.delete(CONFIG_MAP, live, "background")

    found, times = outcome(skiff, delete)

    assert found == Outcome({}, {f"ConfigMap {namespace}/a": "was deleted meanwhile"})
    assert times == 1
    assert skiff.engine.api.get(CONFIG_MAP, namespace, "a") is None


def test_of_an_app_that_may_not_go_where_it_is_nothing_is_touched(skiff: Skiff, namespace: str) -> None:
    skiff.patch_app("shop", {"spec": {"destination": {"server": "https://elsewhere.example.com"}}})
    found, times = outcome(skiff, lambda _: None)
    assert times == 0
    assert found is not None
    assert found.error.startswith("spec.destination.server: ")
    skiff.settle()
    assert data(skiff, namespace) == {"v": "1"}


def test_a_script_that_was_ended_is_not_run_on_the_next_object(
    skiff: Skiff, git_repo: Repository, namespace: str
) -> None:
    git_repo.commit({name: configmap(name[0], v="1") for name in ("b.yaml", "c.yaml")})
    pipeline.sync(skiff.engine, "shop")
    skiff.settle()
    found, times = outcome(skiff, lambda _: None, "loop")
    assert times == 0
    assert found is not None
    assert not found.done
    why = "ConfigMap argocd-cm, resource.customizations.actions.ConfigMap: loop has not ended after 1 s: "
    assert found.failed == {
        f"ConfigMap {namespace}/a": f"{why}look for a loop",
        f"ConfigMap {namespace}/b": "was left alone after that",
        f"ConfigMap {namespace}/c": "was left alone after that",
    }


ODD = {
    'obj.metadata = "x" return obj': "its action returns another object than it was given",
    "obj.metadata.name = {} return obj": "its action returns another object than it was given",
    "obj.apiVersion = true return obj": "its action returns another object than it was given",
    "obj.kind = nil return obj": "its action returns another object than it was given",
    'obj.metadata.labels = "x" return obj': "its action changes applyset.kubernetes.io/part-of",
    "obj.metadata.annotations = nil return obj": "its action changes mooring.dev/id",
    "obj.data = 7 return obj": "",  # the API server says why
    "obj.unknown = 7 return obj": "",
    'return {{operation = "patch", resource = obj}, {operation = "patch", resource = obj}}': "nothing",
    'obj.data.a = "b" local one = {operation = "patch", resource = obj} return {one, one}': (
        "its action patches it twice"
    ),
    'return {{operation = "create", resource = {}}}': "its action creates an object without apiVersion",
    'return {{operation = "create", resource = {apiVersion = "v1", kind = "ConfigMap"}}}': "",
    'return {{operation = "create", resource = {apiVersion = "v1", kind = "ConfigMap", metadata = 7}}}': "",
    """return {{operation = "create", resource =
        {apiVersion = "v1", kind = "ConfigMap", metadata = {name = {}, namespace = "default"}}}}""": (
        "its action creates an object whose name is no text"
    ),
    """return {{operation = "create", resource =
        {apiVersion = "v1", kind = "ConfigMap", metadata = {name = "../x", namespace = "default"}}}}""": "",
    """return {{operation = "create", resource =
        {apiVersion = "v1", kind = "ConfigMap", metadata = {name = "x", namespace = "../x"}}}}""": "",
    'return {{operation = "create", resource = {apiVersion = {}, kind = {}}}}': (
        "its action creates an object without apiVersion or kind"
    ),
    'return {{operation = "create", resource = {apiVersion = "v1", kind = "Unknown"}}}': (
        "its action creates a v1 Unknown, which the cluster does not have"
    ),
}


def test_whatever_a_script_returns_ends_with_a_reason_and_changes_nothing(
    skiff: Skiff, sandbox: Sandbox, namespace: str
) -> None:
    def config(script: str) -> dict[str, str]:
        definitions = [{"name": "odd", "action.lua": script}]
        said = {"discovery.lua": "return {odd = {}}", "definitions": definitions}
        return {"resource.customizations.actions.ConfigMap": json.dumps(said)}

    before = skiff.engine.api.get(CONFIG_MAP, namespace, "a")
    assert before is not None
    for script, why in ODD.items():
        engine = replace(skiff.engine, actions=Actions(partial(config, script), sandbox))
        run(engine, script, "shop", "odd", {"kind": "ConfigMap"})
        found = engine.outcomes.of(script)
        assert found is not None, script
        if why == "nothing":
            assert list(found.done.values()) == ["nothing to change"], script
            continue
        assert not found.done, script
        (said,) = found.failed.values()
        assert said.startswith(why), script
        live = engine.api.get(CONFIG_MAP, namespace, "a")
        assert live is not None
        assert live.resource_version == before.resource_version, script


@pytest.mark.parametrize("field", ["name", "generateName"])
def test_what_mooring_keeps_about_itself_is_made_by_no_script(
    skiff: Skiff, sandbox: Sandbox, namespace: str, field: str
) -> None:
    """An inventory that another app will look for."""
    name = f"mooring-{skiff.engine.installation.id}-{namespace}.other"
    metadata = f'{{{field} = "{name}", namespace = "{namespace}"}}'
    made = f'{{apiVersion = "v1", kind = "ConfigMap", metadata = {metadata}}}'
    script = f'return {{{{operation = "create", resource = {made}}}}}'
    definitions = [{"name": "odd", "action.lua": script}]
    said = json.dumps({"discovery.lua": "return {odd = {}}", "definitions": definitions})
    config = {"resource.customizations.actions.ConfigMap": said}
    engine = replace(skiff.engine, actions=Actions(lambda: config, sandbox))
    run(engine, field, "shop", "odd", {"kind": "ConfigMap"})
    found = engine.outcomes.of(field)
    assert found is not None
    why = f"its action creates ConfigMap {namespace}/{name}, which only Mooring may"
    assert found.failed == {f"ConfigMap {namespace}/a": why}
    assert engine.api.get(CONFIG_MAP, namespace, name) is None

"""What actions objects have, and what comes of them: built-in ones, and scripts that mean well or harm."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.errors import Refused, Retryable
from mooring.keys import ObjectKey
from mooring.settings import Settings
from workers.actions.action import Action, Created, Parameter, Patched, metadata_of
from workers.actions.asked import Asked
from workers.actions.catalogue import Actions
from workers.mergepatch import difference
from workers.scripts.sandbox import Sandbox

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text())
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(Settings(state_dir=str(tmp_path_factory.mktemp("state"))))
    yield sandbox
    sandbox.close()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_actions_are_and_do_what_the_table_says(case: dict[str, Any], sandbox: Sandbox) -> None:
    actions, body = Actions(lambda: case.get("config", {}), sandbox), case["object"]
    before = copy.deepcopy(body)
    if "offers" in case:
        found = {one.name: "disabled" if one.disabled else "yes" for one in actions.available(body)}
        assert found == case["offers"]
    elif "fails" in case:
        with pytest.raises(Refused) as refused:
            actions.run(case["run"], body, case.get("given", {}), NOW)
        assert str(refused.value) == case["fails"]
    else:
        changes = actions.run(case["run"], body, case.get("given", {}), NOW)
        patches = [difference(_own(body), _own(one.body)) for one in changes if isinstance(one, Patched)]
        assert patches == ([case["patch"]] if "patch" in case else [])
        assert [one.body for one in changes if isinstance(one, Created)] == case.get("creates", [])
    assert body == before


def _own(body: Any) -> dict[str, Any]:
    """Without what only the server counts."""
    counted = ("generation", "resourceVersion", "uid")
    metadata = {name: value for name, value in metadata_of(body).items() if name not in counted}
    return {**body, "metadata": metadata}


def test_the_table_has_every_case_once() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_what_people_and_interfaces_are_shown_is_told_by_the_script(sandbox: Sandbox) -> None:
    door = next(case for case in CASES if case["name"].startswith("a kind of one's own"))
    found = Actions(lambda: door["config"], sandbox).available(door["object"])
    assert found == (
        Action("open", icon_class="fa fa-fw fa-door-open"),
        Action("paint", parameters=(Parameter("colour", "red"),)),
        Action("shut", disabled=True, display_name="Shut it"),
    )


def test_a_script_that_nobody_could_run_says_nothing_about_the_object(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = Sandbox(Settings(state_dir=str(tmp_path / "file")))
    config = {"resource.customizations.actions.ConfigMap": "discovery.lua: return {}"}
    with pytest.raises(Retryable, match="was not evaluated: its program could not be started"):
        Actions(lambda: config, nowhere).available({"apiVersion": "v1", "kind": "ConfigMap"})


# --- what is asked for ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("action", "arguments", "why"),
    [
        (None, {"kind": "Job"}, "the action is missing"),
        ({"a": 1}, {"kind": "Job"}, "the action is no text"),
        ("run", {}, "kind is missing"),
        ("run", {"kind": ["Job"]}, "kind is no text"),
        ("run", {"kind": "Job", "namespace": "a\nb"}, "namespace is longer than 253 characters, or no text"),
        ("x" * 1000, {"kind": "Job"}, "the action is longer than 253 characters, or no text"),
        ("run", {"kind": "Job", "all": "yes"}, "all is neither true nor false"),
        ("run", {"kind": "Job", "parameters": ["a"]}, "parameters of an action are a mapping"),
        ("run", {"kind": "Job", "parameters": {"a": {}}}, "a parameter is no text"),
        ("run", {"kind": "Job", "parameters": {str(n): "" for n in range(99)}}, "parameters of an action"),
        ("run", {"kind": "Job", "name": "a"}, "'name' is no argument"),
    ],
)
def test_what_nobody_can_have_meant_is_refused(action: Any, arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        Asked.read(action, arguments)


def test_of_several_that_fit_none_is_chosen_unless_all_are_meant() -> None:
    web, db = (ObjectKey("apps", "Deployment", "shop", name) for name in ("web", "db"))
    other = ObjectKey("example.com", "Deployment", "shop", "web")
    keys = (web, db, other, ObjectKey("batch", "Job", "shop", "web"))
    assert Asked("restart", "Deployment", name="db").of(keys) == [db]
    assert Asked("restart", "Deployment", group="apps", all=True).of(keys) == [db, web]
    assert Asked("restart", "Deployment", namespace="elsewhere").of(keys) == []
    with pytest.raises(Refused, match="apps/Deployment shop/db, apps/Deployment shop/web and 1 more fit"):
        Asked("restart", "Deployment").of(keys)

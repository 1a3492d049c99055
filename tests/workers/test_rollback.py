"""What somebody rolled back from, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given as each
from hypothesis import strategies as st

from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.model.spec import Source
from mooring.model.status import ApplicationStatus, ResourceStatus
from mooring.model.sync_options import sync_options
from workers.apps.state import State
from workers.cluster.kinds import Kind
from workers.desired import Desired
from workers.render.readset import COMMIT, ReadSet
from workers.rollback import Ahead, as_git_has_it, bad_after, given, goes_back, goes_back_to, is_bad, told

SOURCE = Source(repo_url="https://git.example.com/shop", path="shop", target_revision="main")
OLD, NEW = Pinned((SOURCE,), ("a" * 40,)), Pinned((SOURCE,), ("b" * 40,))


def read(inputs: Any = "helm 4", **paths: str) -> ReadSet:
    return ReadSet.of(inputs, paths, {"chart": "sha256:1"})


def app(*history: str, automated: bool = True) -> Application:
    return Application.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "shop", "namespace": "mooring"},
            "spec": {
                "project": "default",
                "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
                "source": SOURCE.to_dict(),
                "syncPolicy": {"automated": {}} if automated else {},
            },
            "status": {
                "history": [
                    {"id": n, "deployedAt": "2026-11-23T12:00:00Z", "revision": revision}
                    for n, revision in enumerate(history)
                ]
            },
        }
    )


def test_what_was_given_is_files_remotes_and_options_and_neither_revision_nor_tool() -> None:
    before = given(OLD, [read(shop="1")])
    assert len(before) == 32
    assert given(NEW, [read(shop="1")]) == before, "another commit"
    assert given(OLD, [read("helm 5", shop="1")]) == before, "another tool, or cluster"
    tag = SOURCE.model_copy(update={"target_revision": "v1"})
    assert given(replace(OLD, sources=(tag,)), [read(shop="1")]) == before, "another branch that has the same"

    named = [given(at, [read(**{"shop": "1", COMMIT: at.revisions[0]})]) for at in (OLD, NEW)]
    assert named[0] == named[1], "another commit, though the manifests name it"

    other = SOURCE.model_copy(update={"path": "bank"})
    assert given(OLD, [read(shop="2")]) != before
    assert given(OLD, [read(shop="1", lib="1")]) != before
    assert given(OLD, [replace(read(shop="1"), remotes=(("chart", "sha256:2"),))]) != before
    assert given(replace(OLD, sources=(other,)), [read(shop="1")]) != before


def test_where_syncs_are_automated_any_other_revision_goes_back() -> None:
    assert goes_back(app(), OLD, own=False)
    assert not goes_back(app(), OLD, own=True)


def test_where_they_are_not_only_what_was_deployed_before_does() -> None:
    assert goes_back(app(OLD.revisions[0], automated=False), OLD, own=False)
    assert not goes_back(app(OLD.revisions[0], automated=False), NEW, own=False), "a step of a promotion"
    assert not goes_back(app(OLD.revisions[0], automated=False), OLD, own=True)


def test_what_is_left_is_what_is_deployed_and_what_git_was_seen_to_have() -> None:
    failed = State(stands="two", deployed="three", seen="four")
    assert bad_after(failed, "one", back=True) == "two three four", "that had failed, and two is still there"
    state = State(deployed="three", seen="four")
    assert bad_after(state, "two", back=True) == "three four"
    assert bad_after(state, "two", back=False) == ""
    assert bad_after(replace(state, bad="three four"), "four", back=False) == "three", "somebody wants it"
    assert bad_after(replace(state, bad="one two"), "two", back=True) == "one three four"
    assert bad_after(State(), "two", back=True) == ""


def test_an_app_stays_at_what_stands_unless_that_is_what_was_to_be_left() -> None:
    assert goes_back_to(State(stands="good", deployed="good", bad="bad")) == "good"
    assert goes_back_to(State(stands="good", deployed="failed", bad="bad")) == "good"
    assert goes_back_to(State(stands="bad", deployed="failed", bad="bad")) == "failed", (
        "a rollback that failed"
    )
    assert goes_back_to(State(deployed="good", bad="bad")) == "good", (
        "an earlier Mooring has remembered no more"
    )


WHAT = st.sampled_from("abcd")


@each(st.lists(st.tuples(st.sampled_from(["git", "own", "back"]), WHAT), max_size=40))
def test_what_was_left_is_never_deployed_by_itself_and_anything_else_always_is(
    events: list[tuple[str, str]],
) -> None:
    state, left = State(), set[str]()
    for event, what in events:
        if event == "git":  # Git has it now, and it is looked at
            assert is_bad(state, what) == (what in left)
            state = replace(state, seen=what, deployed=state.deployed if what in left else what)
            continue
        if event == "back":
            left |= {one for one in (state.deployed, state.seen) if one}
        left.discard(what)
        bad = bad_after(state, what, back=event == "back")
        state = replace(state, deployed=what, seen=what if event == "own" else state.seen, bad=bad)
        state = State.from_json(state.to_json())  # whoever looks next has read it


def test_the_memory_is_bounded_and_keeps_what_is_newest() -> None:
    state = State()
    for number in range(100):
        state = replace(state, deployed=f"{number:032}")
        state = replace(state, bad=bad_after(state, "old", back=True))
    assert is_bad(state, f"{99:032}")
    assert len(state.bad) < 1000


def item(name: str, digest: str) -> Desired:
    kind = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
    return Desired(ObjectKey("", "ConfigMap", "shop", name), kind, {}, digest, sync_options(()), "a.yaml:1")


def test_the_app_is_shown_as_git_has_it_with_what_differs_and_what_is_missing() -> None:
    resources = tuple(
        ResourceStatus(kind="ConfigMap", namespace="shop", name=name, status="Synced")
        for name in ("changed", "gone", "same")
    )
    here = [item("changed", "1"), item("gone", "1"), item("same", "1")]
    there = (item("changed", "2"), item("new", "1"), item("same", "1"))

    found = as_git_has_it(ApplicationStatus(resources=resources), app(), here, Ahead(NEW, "", "", there))

    assert found.sync is not None
    assert (found.sync.status, found.sync.revision) == ("OutOfSync", "b" * 40)
    assert found.sync.compared_to is not None
    assert found.sync.compared_to.source == SOURCE
    shown = {one.name: (one.status, one.health.status if one.health else "") for one in found.resources}
    assert shown == {
        "changed": ("OutOfSync", ""),
        "gone": ("OutOfSync", ""),
        "new": ("OutOfSync", "Missing"),
        "same": ("Synced", ""),
    }
    assert not any(one.requires_pruning for one in found.resources), (
        "it is deployed, and other apps' not to take"
    )
    unknown = as_git_has_it(ApplicationStatus(resources=resources), app(), here, Ahead(NEW, "", "", None))
    assert unknown.resources == resources


def test_the_condition_names_both_and_says_what_ends_it() -> None:
    text = told(OLD, NEW)
    assert f"rolled back to {'a' * 12}" in text
    assert f"at {'b' * 12}" in text
    assert "somebody syncs it" in text
    assert told(None, NEW).startswith("rolled back: ")

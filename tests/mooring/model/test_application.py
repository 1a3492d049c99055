"""Applications are read whole, and what is wrong with one is said by name and path."""

from __future__ import annotations

import copy
import json
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.keys import AppKey
from mooring.model.application import Application, unknown_fields
from mooring.model.spec import Source
from tests.mooring.model.manifests import EVERYTHING, SHOP
from workers.apps.patches import status_patch


def _with(path: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(SHOP)
    *parents, last = path.split(".")
    node = raw
    for step in parents:
        node = node.setdefault(step, {})
    node[last] = value
    return raw


def test_an_ordinary_application_is_read() -> None:
    app = Application.parse(SHOP)
    assert app.key == AppKey("mooring", "shop")
    assert app.raw == SHOP
    assert app.spec.source is not None and app.spec.source.directory is not None
    assert app.spec.source.repo_url == "https://git.example.org/acme/deploy.git"
    assert app.spec.source.directory.recurse
    assert app.spec.automated is not None and app.spec.automated.prune and app.spec.automated.self_heal
    assert app.spec.history_limit == 3
    assert app.spec.all_sources == (app.spec.source,)
    assert unknown_fields(app) == ()


def test_nothing_of_argo_cds_schema_is_lost_or_unknown() -> None:
    app = Application.parse(EVERYTHING)
    assert unknown_fields(app) == ()
    assert app.to_dict() == EVERYTHING


def test_what_is_written_back_is_read_the_same() -> None:
    app = Application.parse(SHOP)
    assert Application.parse(json.loads(json.dumps(app.to_dict()))).to_dict() == app.to_dict()


def test_unknown_fields_are_listed_and_kept() -> None:
    raw = _with("spec.source.repo_url", "python's spelling is not the manifest's")
    raw["spec"]["syncPolicy"]["automated"]["pruen"] = True
    raw["spec"]["info"][0]["colour"] = "red"
    raw["data"] = {}
    raw["status"] = {"from-the-future": 1}
    app = Application.parse(raw)
    assert set(unknown_fields(app)) == {
        "data",
        "spec.source.repo_url",
        "spec.syncPolicy.automated.pruen",
        "spec.info[0].colour",
    }
    assert app.to_dict()["spec"]["syncPolicy"]["automated"]["pruen"] is True


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.syncPolicy.automated.prune", "true"),
        ("spec.syncPolicy.automated.prune", 1),
        ("spec.syncPolicy.syncOptions", "CreateNamespace=true"),
        ("spec.revisionHistoryLimit", "3"),
        ("spec.revisionHistoryLimit", True),
        ("spec.source.path", 7),
        ("spec.source.directory", []),
        ("spec.destination", "in-cluster"),
        ("spec.project", None),
        ("metadata.annotations", {"a": 1}),
        ("metadata.name", "UPPER"),
        ("metadata.name", "a_b"),
        ("metadata.name", ""),
        ("metadata.name", "x" * 254),
        ("metadata.namespace", "a.b"),
        ("kind", "ApplicationSet"),
        ("apiVersion", "argoproj.io/v2"),
    ],
)
def test_a_wrong_field_is_named(path: str, value: Any) -> None:
    with pytest.raises(Refused) as refused:
        Application.parse(_with(path, value))
    assert path in str(refused.value)
    assert "Application " in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.condition == "InvalidSpecError"


@pytest.mark.parametrize("field", ["spec", "operation.sync"])
def test_what_is_nested_too_deep_to_be_written_anew_is_refused(field: str) -> None:
    def nested(levels: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for _ in range(levels):
            values = {"a": values}
        return _with(f"{field}.source", {**SHOP["spec"]["source"], "helm": {"valuesObject": values}})

    deep = Application.parse(nested(190))
    assert deep.to_dict()
    with pytest.raises(Refused, match=f"{field.partition('.')[0]}: is nested deeper than 200 levels"):
        Application.parse(nested(250))
    with pytest.raises(Refused, match="is nested deeper"):
        Application.parse(nested(250), before=deep)


def test_what_is_nested_just_too_deep_is_refused_for_that_though_there_is_nothing_else() -> None:
    """There are as many brackets as levels, and one around them."""
    deep: Any = "leaf"
    for _ in range(199):
        deep = {"a": deep}
    with pytest.raises(Refused, match="spec: is nested deeper than 200 levels"):
        Application.parse({"spec": deep})
    with pytest.raises(Refused, match="apiVersion: is missing"):
        Application.parse({"spec": deep["a"]})


def test_of_a_status_what_is_nested_too_deep_to_be_written_anew_is_taken_out() -> None:
    """Whoever may edit an Application may write anything there, and it is ours to be written."""
    deep: dict[str, Any] = {}
    for _ in range(490):  # about as deep as what the API server answers is read
        deep = {"a": deep}
    sync = {"status": "Synced", "revision": "abc"}
    raw = {**SHOP, "status": {"sync": sync, "summary": deep, "stray": deep}}
    for app in (Application.parse(raw), Application.parse(raw, before=Application.parse(SHOP))):
        assert app.status.to_dict() == {"sync": sync}
        patch = status_patch(app, app.status.model_copy(update={"observed_at": "2026-01-02T03:04:05Z"}))
        assert patch["status"]["summary"] is None
        assert patch["status"]["stray"] is None
    read = Application.parse(raw)
    assert Application.parse({**raw}, before=read).status == read.status


def test_a_refusal_shows_no_value() -> None:
    with pytest.raises(Refused) as refused:
        Application.parse(_with("spec.source.repoURL", ["https://user:s3cr3t@host"]))
    assert "s3cr3t" not in str(refused.value)


def test_null_is_the_same_as_absent() -> None:
    raw = _with("spec.syncPolicy", None)
    raw["status"] = raw["operation"] = raw["spec"]["source"]["directory"] = None
    app = Application.parse(raw)
    assert app.spec.automated is None and app.operation is None


def test_automated_may_be_switched_off() -> None:
    assert Application.parse(_with("spec.syncPolicy.automated", {})).spec.automated is not None
    assert Application.parse(_with("spec.syncPolicy.automated", {"enabled": False})).spec.automated is None


def test_a_file_need_not_name_a_namespace() -> None:
    raw = _with("metadata.namespace", None)
    assert Application.parse(raw, namespace="mooring").key == AppKey("mooring", "shop")
    with pytest.raises(Refused, match=r"metadata\.namespace"):
        Application.parse(raw)


def test_the_empty_project_is_the_default_one() -> None:
    assert Application.parse(_with("spec.project", "")).spec.project_name == "default"


def test_a_value_is_never_changed() -> None:
    app = Application.parse(SHOP)
    with pytest.raises(ValueError):
        app.spec.project = "other"
    before = copy.deepcopy(SHOP)
    app.to_dict()["spec"]["project"] = "other"
    assert before == SHOP


def test_a_hydrated_source_is_the_one_that_is_deployed() -> None:
    (source,) = Application.parse(EVERYTHING).spec.all_sources
    assert source == Source(repo_url="https://git.example.org/a", path="shop", target_revision="env/prod")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(
        ["metadata", "spec", "status", "operation", "spec.source", "spec.syncPolicy", "metadata.name"]
    ),
    _JSON,
)
def test_nothing_but_a_refusal_ever_comes_of_a_broken_manifest(path: str, value: Any) -> None:
    try:
        app = Application.parse(_with(path, value))
    except Refused:
        return
    assert Application.parse(app.to_dict()).to_dict() == app.to_dict()


def test_what_has_not_changed_is_not_read_again_and_reads_the_same() -> None:
    raw: dict[str, Any] = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "web", "namespace": "mooring", "resourceVersion": "1"},
        "spec": {"project": "a", "source": {"repoURL": "https://x"}, "destination": {"namespace": "web"}},
        "status": {
            "sync": {"status": "Synced", "revision": "a" * 40},
            "history": [{"id": 1, "revision": "a" * 40, "deployedAt": "2026-01-01T00:00:00Z"}],
            "health": {"status": "Healthy"},
        },
    }
    before = Application.parse(raw)
    moved = {**raw, "metadata": {**raw["metadata"], "resourceVersion": "2"}}
    moved["status"] = {**raw["status"], "sync": {"status": "Synced", "revision": "b" * 40}}
    again = Application.parse(moved, before=before)
    assert again == Application.parse(moved)
    assert again.raw == moved
    assert again.spec is before.spec
    assert again.status.history[0] is before.status.history[0]
    assert again.status.sync is not None
    assert again.status.sync.revision == "b" * 40
    bare = {**moved, "status": {"health": {"status": "Healthy"}}, "spec": {**raw["spec"], "project": "other"}}
    assert Application.parse(bare, before=again) == Application.parse(bare)
    with pytest.raises(Refused, match=r"spec\.project"):
        Application.parse({**bare, "spec": {**raw["spec"], "project": 1}}, before=again)


def test_what_is_told_of_one_copy_is_told_of_no_other() -> None:
    """They share what they have nothing in."""
    app, other = (
        Application.parse(SHOP),
        Application.parse({**SHOP, "status": {"sync": {"status": "Synced"}}}),
    )
    copied = app.status.model_copy(update={"strange": "x"})
    assert copied.model_extra == {"strange": "x"}
    assert app.status.model_extra == other.status.model_extra == {}
    assert "strange" not in app.status.to_dict()


def test_a_number_that_no_json_can_tell_is_refused() -> None:
    with pytest.raises(Refused, match="Application mooring/shop: cannot be written as JSON"):
        Application.parse({**SHOP, "more": 2**70})


def test_what_is_remembered_of_many_applications_takes_little() -> None:
    resource = {"kind": "ConfigMap", "namespace": "web", "status": "Synced", "health": {"status": "Healthy"}}
    told = {"sync": {"status": "Synced"}, "resources": [{**resource, "name": f"c{n}"} for n in range(50)]}
    written = orjson.dumps({**SHOP, "status": told})
    Application.parse(orjson.loads(written))  # what is read once for all of them
    tracemalloc.start()
    try:
        kept = [Application.parse(orjson.loads(written)) for _ in range(20)]
        each = tracemalloc.get_traced_memory()[0] / len(kept)
    finally:
        tracemalloc.stop()
    assert each < 10 * len(written)


def test_of_what_is_long_nothing_is_remembered_once_an_application_has_changed() -> None:
    """Else one that is edited again and again, with values of 500 kB each time, would fill a worker."""

    def edited(number: int) -> int:
        values = f"text: {number}{'x' * 100_000}"
        source = {**SHOP["spec"]["source"], "helm": {"values": values}}
        app = Application.parse({**SHOP, "spec": {**SHOP["spec"], "source": source}})
        return len(app.raw)

    edited(0)
    tracemalloc.start()
    try:
        for number in range(1, 40):
            edited(number)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000

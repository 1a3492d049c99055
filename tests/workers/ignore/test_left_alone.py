"""Ignored fields in what is sent, proved on a real API server: they keep their values, and their owners."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mooring.errors import Conflict
from mooring.keys import ObjectKey
from mooring.model.spec import IgnoreDifference
from mooring.names import APPLYSET_PART_OF, ID
from mooring.settings import Settings
from workers.cluster.api import APPLY_PATCH, MERGE_PATCH, Api, Create, Update
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.ignore.ignored import Ignored, ignoring

pytestmark = pytest.mark.cluster

DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments", namespaced=True)
POLICY = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", namespaced=True)
SECRET = Kind("", "v1", "Secret", "secrets", namespaced=True)


class Story:
    """One object, and the rules that speak of it."""

    def __init__(self, api: Api, namespace: str, state: Path) -> None:
        self.api, self.namespace = api, namespace
        self.settings = Settings(state_dir=str(state))

    def rules(self, kind: Kind, **rule: Any) -> Ignored:
        written = IgnoreDifference.read({"group": kind.group, "kind": kind.kind, **rule}, "rule")
        found = ignoring((written,), self.settings).of(
            ObjectKey(kind.group, kind.kind, self.namespace, "web")
        )
        assert found is not None
        return found

    def body(self, kind: Kind, **fields: Any) -> dict[str, Any]:
        metadata = {
            "name": "web",
            "namespace": self.namespace,
            "labels": {APPLYSET_PART_OF: "ours"},
            "annotations": {ID: "this one"},
        }
        return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}

    def creates(self, kind: Kind, body: dict[str, Any]) -> Live:
        return self.api.apply(kind, body, guard=Create())

    def reads(self, kind: Kind) -> Live:
        found = self.api.get(kind, self.namespace, "web")
        assert found is not None and found.body is not None
        return found

    def syncs(self, kind: Kind, body: dict[str, Any], ignored: Ignored) -> Any:
        """The object after a sync that leaves alone what is `ignored`."""
        return self.writes(kind, lambda live: self.applies(kind, ignored.sent(body, live), live))

    def applies(self, kind: Kind, body: dict[str, Any], live: Live) -> Live:
        return self.api.apply(kind, body, guard=Update(live.uid, live.resource_version))

    def writes(self, kind: Kind, write: Callable[[Live], Live]) -> Any:
        for _ in range(20):
            with suppress(Conflict):  # its controller has written a status
                return write(self.reads(kind)).body
        raise AssertionError(f"{kind.kind} web keeps changing")

    def another(
        self, kind: Kind, patch: Any, *, applies: bool = False, subresource: str = "", force: bool = True
    ) -> None:
        """What somebody else does to the object."""
        path = kind.path(self.namespace, "web") + (f"/{subresource}" if subresource else "")
        how = APPLY_PATCH if applies else MERGE_PATCH
        query = [("fieldManager", "another"), *([("force", "true")] if applies and force else [])]
        self.api.transport.request(
            "PATCH", path, query=query, body=patch, content_type=how, identity=self.api.identity
        )

    def owner(self, kind: Kind, *path: str) -> set[str]:
        """The managers that own the field."""
        owners = set()
        for entry in self.reads(kind).managed_fields:
            fields: Mapping[str, Any] | None = entry["fieldsV1"]
            for step in path:
                fields = fields.get(step) if fields is not None else None
            if fields is not None:
                owners.add(entry["manager"])
        return owners


@pytest.fixture
def story(api: Api, namespace: str, tmp_path: Path) -> Story:
    return Story(api, namespace, tmp_path)


def spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    return {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": copy.deepcopy([*containers])}},
        **more,
    }


WEB, PROXY = {"name": "web", "image": "web:1"}, {"name": "proxy", "image": "proxy:1"}
REPLICAS = ("f:spec", "f:replicas")


def test_replicas_that_another_has_scaled_stay_and_are_his(story: Story) -> None:
    git = story.body(DEPLOYMENT, spec=spec(WEB, replicas=2))
    story.creates(DEPLOYMENT, git)
    story.another(DEPLOYMENT, {"spec": {"replicas": 5}}, subresource="scale")
    git["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
    after = story.syncs(DEPLOYMENT, git, story.rules(DEPLOYMENT, jsonPointers=["/spec/replicas"]))
    assert after["spec"]["replicas"] == 5
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    assert story.owner(DEPLOYMENT, *REPLICAS) == {"another"}


def test_what_is_still_ours_keeps_its_value_whatever_git_says_now(story: Story) -> None:
    """To leave it out would take it away: the server would put in the default, 1."""
    git = story.body(DEPLOYMENT, spec=spec(WEB, replicas=2))
    story.creates(DEPLOYMENT, git)
    rules = story.rules(DEPLOYMENT, jsonPointers=["/spec/replicas"])
    changed, dropped = copy.deepcopy(git), copy.deepcopy(git)
    changed["spec"]["replicas"] = 7
    del dropped["spec"]["replicas"]
    assert story.syncs(DEPLOYMENT, changed, rules)["spec"]["replicas"] == 2
    assert story.syncs(DEPLOYMENT, dropped, rules)["spec"]["replicas"] == 2
    assert story.owner(DEPLOYMENT, *REPLICAS) == {"mooring"}


def test_who_applies_an_ignored_field_meets_no_conflict_with_us(story: Story) -> None:
    git = story.body(DEPLOYMENT, spec=spec(WEB, replicas=2))
    story.creates(DEPLOYMENT, git)
    theirs = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    story.another(DEPLOYMENT, {**theirs, "spec": {"replicas": 5}}, applies=True)
    rules = story.rules(DEPLOYMENT, managedFieldsManagers=["another"])
    assert story.syncs(DEPLOYMENT, git, rules)["spec"]["replicas"] == 5
    story.another(DEPLOYMENT, {**theirs, "spec": {"replicas": 6}}, applies=True, force=False)
    assert story.syncs(DEPLOYMENT, git, rules)["spec"]["replicas"] == 6
    # As a control: without the rule it is taken over, and there would be one.
    story.writes(DEPLOYMENT, lambda live: story.applies(DEPLOYMENT, git, live))
    with pytest.raises(Conflict):
        story.another(DEPLOYMENT, {**theirs, "spec": {"replicas": 7}}, applies=True, force=False)


def test_an_item_of_a_list_is_found_by_its_name_wherever_it_stands(story: Story) -> None:
    git = story.body(DEPLOYMENT, spec=spec(WEB, PROXY))
    story.creates(DEPLOYMENT, git)
    live = story.reads(DEPLOYMENT).body
    assert live is not None
    containers = live["spec"]["template"]["spec"]["containers"]
    containers[1]["image"] = "proxy:9"
    story.another(DEPLOYMENT, {"spec": {"template": {"spec": {"containers": containers}}}})
    git["spec"]["template"]["spec"]["containers"] = [PROXY, {**WEB, "image": "web:2"}]
    expression = '.spec.template.spec.containers[] | select(.name == "proxy") | .image'
    after = story.syncs(DEPLOYMENT, git, story.rules(DEPLOYMENT, jqPathExpressions=[expression]))
    images = {item["name"]: item["image"] for item in after["spec"]["template"]["spec"]["containers"]}
    assert images == {"web": "web:2", "proxy": "proxy:9"}


def test_an_item_that_is_new_in_git_comes_whole(story: Story) -> None:
    """A container without an image would be refused."""
    git = story.body(DEPLOYMENT, spec=spec(WEB))
    story.creates(DEPLOYMENT, git)
    git["spec"]["template"]["spec"]["containers"] = [PROXY, {**WEB, "image": "web:2"}]
    rules = story.rules(DEPLOYMENT, jqPathExpressions=[".spec.template.spec.containers[].image"])
    after = story.syncs(DEPLOYMENT, git, rules)
    images = {item["name"]: item["image"] for item in after["spec"]["template"]["spec"]["containers"]}
    assert images == {"web": "web:1", "proxy": "proxy:1"}


def ingress(app: str, *ports: int) -> dict[str, Any]:
    return {
        "from": [{"podSelector": {"matchLabels": {"app": app}}}],
        "ports": [{"protocol": "TCP", "port": port} for port in ports],
    }


def test_a_part_of_a_list_that_is_owned_as_a_whole_keeps_its_value(story: Story) -> None:
    """spec.ingress is atomic: whoever writes a part of it writes all of it."""
    git = story.body(POLICY, spec={"podSelector": {}, "ingress": [ingress("a", 1), ingress("b", 2)]})
    story.creates(POLICY, git)
    story.another(POLICY, {"spec": {"ingress": [ingress("a", 1), ingress("b", 22, 23)]}})
    expression = '.spec.ingress[] | select(.from[0].podSelector.matchLabels.app == "b") | .ports'
    rules = story.rules(POLICY, jqPathExpressions=[expression])
    git["spec"]["ingress"] = [ingress("b", 2), ingress("new", 3), ingress("a", 1)]
    after = story.syncs(POLICY, git, rules)
    assert after["spec"]["ingress"] == [ingress("b", 22, 23), ingress("new", 3), ingress("a", 1)]


def test_an_index_into_such_a_list_means_that_place(story: Story) -> None:
    git = story.body(DEPLOYMENT, spec=spec({**WEB, "args": ["--level=info", "--port=1"]}))
    story.creates(DEPLOYMENT, git)
    container = {**WEB, "args": ["--level=debug", "--port=1"]}
    story.another(DEPLOYMENT, {"spec": {"template": {"spec": {"containers": [container]}}}})
    git["spec"]["template"]["spec"]["containers"][0]["args"] = ["--level=info", "--port=2"]
    pointer = "/spec/template/spec/containers/0/args/0"
    after = story.syncs(DEPLOYMENT, git, story.rules(DEPLOYMENT, jsonPointers=[pointer]))
    assert after["spec"]["template"]["spec"]["containers"][0]["args"] == ["--level=debug", "--port=2"]


def test_what_another_has_removed_stays_removed(story: Story) -> None:
    git = story.body(DEPLOYMENT, spec=spec(WEB))
    git["metadata"]["annotations"]["note"] = "from Git"
    story.creates(DEPLOYMENT, git)
    story.another(DEPLOYMENT, {"metadata": {"annotations": {"note": None}}})
    after = story.syncs(DEPLOYMENT, git, story.rules(DEPLOYMENT, jsonPointers=["/metadata/annotations/note"]))
    assert "note" not in after["metadata"]["annotations"]


def test_what_another_has_put_beside_git_is_not_made_ours(story: Story) -> None:
    git = story.body(DEPLOYMENT, spec=spec(WEB))
    story.creates(DEPLOYMENT, git)
    story.another(DEPLOYMENT, {"metadata": {"annotations": {"note": "theirs"}}})
    rules = story.rules(DEPLOYMENT, jsonPointers=["/metadata/annotations/note"])
    assert story.syncs(DEPLOYMENT, git, rules)["metadata"]["annotations"]["note"] == "theirs"
    assert story.owner(DEPLOYMENT, "f:metadata", "f:annotations", "f:note") == {"another"}


def test_the_data_of_a_secret_stays_whoever_has_filled_it(story: Story) -> None:
    git = story.body(SECRET, data={"password": "Z2l0", "user": "Z2l0"}, type="Opaque")
    story.creates(SECRET, git)
    story.another(SECRET, {"data": {"password": "dGhlaXJz"}})
    git["data"] = {"password": "bmV3", "user": "bmV3"}
    after = story.syncs(SECRET, git, story.rules(SECRET, jsonPointers=["/data/password"]))
    assert after["data"] == {"password": "dGhlaXJz", "user": "bmV3"}


@pytest.mark.parametrize("rule", [{"jsonPointers": ["/metadata"]}, {"jqPathExpressions": ["."]}])
def test_whose_an_object_is_cannot_be_ignored(story: Story, rule: dict[str, Any]) -> None:
    git = story.body(DEPLOYMENT, spec=spec(WEB))
    story.creates(DEPLOYMENT, git)
    marks = {"labels": {APPLYSET_PART_OF: "anothers"}, "annotations": {ID: "another one"}}
    story.another(DEPLOYMENT, {"metadata": marks})
    ignored, live = story.rules(DEPLOYMENT, **rule), story.reads(DEPLOYMENT)
    assert live.body is not None
    assert ignored.rest(git, live)["metadata"] != ignored.rest(live.body, live)["metadata"]
    after = story.syncs(DEPLOYMENT, git, ignored)
    assert after["metadata"]["labels"][APPLYSET_PART_OF] == "ours"
    assert after["metadata"]["annotations"][ID] == "this one"


def test_what_is_merged_is_sent_with_all_that_is_ignored(story: Story) -> None:
    """There, what is left out is removed, whoever it belongs to."""
    git = story.body(DEPLOYMENT, spec=spec(WEB, replicas=2))
    story.api.merge_apply(DEPLOYMENT, git, None)
    story.another(DEPLOYMENT, {"spec": {"replicas": 5}}, subresource="scale")
    rules = story.rules(DEPLOYMENT, jsonPointers=["/spec/replicas"])
    git["spec"]["replicas"] = 3

    def merge(live: Live) -> Live:
        return story.api.merge_apply(DEPLOYMENT, rules.sent(git, live, merged=True), live)

    assert story.writes(DEPLOYMENT, merge)["spec"]["replicas"] == 5

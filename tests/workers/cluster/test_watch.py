"""A watch on the real API server: what is there, what changes, and what the server has forgotten."""

from __future__ import annotations

import itertools
import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from devcluster.cluster import Cluster as ControlPlane
from mooring.errors import ClusterRefused, ClusterUnavailable
from tests.definitions import definition
from tests.stories.line import Line
from workers.cluster import watch as watching
from workers.cluster.api import Api, Create
from workers.cluster.connect import connect
from workers.cluster.kinds import Kind
from workers.cluster.transport import Expired
from workers.cluster.watch import Change, Changed, Gone, Listed, _events, _lines, watch

pytestmark = pytest.mark.cluster
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
LABEL = "tests.mooring.dev/watched"


def configmap(api: Api, namespace: str, name: str, labels: dict[str, str] | None = None) -> Any:
    metadata = {"name": name, "namespace": namespace, "labels": {LABEL: "1"} if labels is None else labels}
    return api.create(CONFIG_MAP, {"metadata": metadata, "data": {"v": "1"}})


class Heard:
    """A watch in a thread of its own, and what it has told so far."""

    def __init__(self, changes: Iterator[Change]) -> None:
        self._heard: queue.SimpleQueue[Change | Exception] = queue.SimpleQueue()

        def listen() -> None:
            try:
                for change in changes:
                    self._heard.put(change)
            except ClusterRefused as error:
                self._heard.put(error)

        threading.Thread(target=listen, daemon=True, name="heard").start()

    def next(self) -> Any:
        return self._heard.get(timeout=60)


def test_what_is_there_comes_first_and_then_each_change(api: Api, namespace: str) -> None:
    first = configmap(api, namespace, "first")
    configmap(api, namespace, "unlabelled", {})
    heard = Heard(watch(api, CONFIG_MAP, namespace, LABEL))

    listed = heard.next()
    assert isinstance(listed, Listed)
    assert [live.key.name for live in listed.objects] == ["first"]
    assert (listed.objects[0].body or {})["data"] == {"v": "1"}

    configmap(api, namespace, "second")
    added = heard.next()
    assert isinstance(added, Changed)
    assert added.live.key.name == "second"
    assert (added.live.body or {})["kind"] == "ConfigMap", "health is judged by it"

    api.patch(CONFIG_MAP, namespace, "first", {"data": {"v": "2"}})
    changed = heard.next()
    assert isinstance(changed, Changed)
    assert (changed.live.uid, (changed.live.body or {})["data"]) == (first.uid, {"v": "2"})

    api.delete(CONFIG_MAP, changed.live, "background")
    gone = heard.next()
    assert isinstance(gone, Gone)
    assert gone.live.key.name == "first"

    api.patch(CONFIG_MAP, namespace, "second", {"metadata": {"labels": {LABEL: None}}})
    lost = heard.next()
    assert isinstance(lost, Gone), "it does not match any more"
    assert lost.live.key.name == "second"


def test_a_server_that_goes_away_and_comes_back_is_heard_further_without_a_gap(
    cluster: ControlPlane, api: Api, namespace: str, tmp_path: Path
) -> None:
    with Line(urlsplit(cluster.server).port or 443) as line:
        kubeconfig = tmp_path / "kubeconfig"
        text = cluster.kubeconfig.read_text()
        kubeconfig.write_text(text.replace(cluster.server, f"https://127.0.0.1:{line.port}"))
        heard = Heard(watch(connect(str(kubeconfig)).api(), CONFIG_MAP, namespace, LABEL))
        assert heard.next() == Listed(())
        configmap(api, namespace, "before")
        assert heard.next().live.key.name == "before"

        line.cut()
        configmap(api, namespace, "meanwhile")
        api.delete(CONFIG_MAP, configmap(api, namespace, "passing"), "background")
        line.mend()

        told = [heard.next() for _ in range(3)]
        assert [(type(one), one.live.key.name) for one in told] == [
            (Changed, "meanwhile"),
            (Changed, "passing"),
            (Gone, "passing"),
        ]


def test_a_version_that_the_server_has_forgotten_is_no_reason_to_miss_anything(
    api: Api, namespace: str, definitions: Kind
) -> None:
    # The server remembers a kind's changes from when it first served it on: of this one, none so early.
    group = f"x{secrets.token_hex(5)}.example.com"
    anchors = Kind(group, "v1", "Anchor", "anchors", namespaced=True)
    created = api.create(definitions, definition(group, "Anchor", {"type": "object"}))
    try:
        api.discovery.await_kind(f"{group}/v1", "Anchor")
        with pytest.raises(Expired):  # after which everything is listed anew
            while True:
                with suppress(ClusterUnavailable):  # as long as the server has only just begun
                    next(_events(api, anchors, namespace, "", "1", False))
    finally:
        api.delete(definitions, created, "background", any_version=True)


def test_a_watch_that_is_not_permitted_says_so(api: Api, namespace: str) -> None:
    nobody = replace(api, identity=replace(api.identity, user=f"nobody-{secrets.token_hex(4)}"))
    with pytest.raises(ClusterRefused, match="forbidden"):
        next(watch(nobody, CONFIG_MAP, namespace))


def test_a_snapshot_has_the_version_from_which_a_watch_goes_on(api: Api, namespace: str) -> None:
    objects, version = api.snapshot(CONFIG_MAP, namespace, LABEL)
    assert objects == ()
    created = api.apply(
        CONFIG_MAP,
        {"metadata": {"name": "a", "namespace": namespace, "labels": {LABEL: "1"}}},
        guard=Create(),
    )
    event = next(_events(api, CONFIG_MAP, namespace, LABEL, version, False))
    assert event["type"] == "ADDED"
    assert event["object"]["metadata"]["uid"] == created.uid


def test_an_object_that_does_not_come_to_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_LONGEST", 100)
    with pytest.raises(ClusterUnavailable, match="without an end"):
        list(_lines(itertools.repeat(b'{"type": ')))
    assert list(_lines(iter((b"{", b"}\n[", b"]\n\n{")))) == [b"{}", b"[]"]

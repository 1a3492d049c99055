"""What has drifted is told as one event: which fields, by whom, when, and what was done. Self-heal puts back
just that, and fights with nobody for ever."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from devcluster.gitserver import Repository
from tests.stories.ship import Ship, configmap, until

pytestmark = pytest.mark.cluster


def edit(ship: Ship, namespace: str, name: str, data: Any, kind: str = "configmap") -> None:
    ship.kubectl(
        *("patch", kind, name, f"--namespace={namespace}", "--field-manager=meddler"),
        *("--type=merge", f"--patch={json.dumps({'data': data})}"),
    )


def done(ship: Ship, name: str, **wanted: str) -> None:
    """Waits until that is what was done about the newest drift of each object: it is kept after the app's
    status is written."""

    def look() -> bool:
        return {one["name"]: one["done"] for one in reversed(drifts(ship, name))} == wanted

    until(f"the drifts of {name} to be {wanted}", look)


def put_back(ship: Ship, app: str, *, times: int) -> None:
    """As after so many rounds: whoever remembers them is no process."""
    with ship.redis() as client:
        (key,) = client.keys(f"mooring:drifts:putback:*_{app}")
        (name,) = client.hkeys(key)
        client.hset(key, name, json.dumps([times, json.loads(client.hget(key, name))[1]]))


def announced(ship: Ship, app: str, reason: str) -> str:
    """What the one Event about the app says that has this reason, as soon as there is one."""
    about = f"involvedObject.name={app},reason={reason}"

    def look() -> list[Any] | None:
        return ship.ask(f"/api/v1/namespaces/{ship.home}/events?fieldSelector={about}")["items"] or None

    (one,) = until(f"an Event {reason} of {app}", look)
    return str(one["message"])


def drifts(ship: Ship, name: str) -> Any:
    """The newest first."""
    shown = ship.mooring("app", "drift", name, "-o", "json")
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def test_who_has_changed_what_and_when_is_told_and_what_was_done(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": "hunter2"}}
    commit = git_repo.commit(
        {
            "a.yaml": configmap("a", v="1", w="1"),
            "b.yaml": configmap("b", v="1"),
            "c.yaml": configmap("c", v="1"),
            "s.yaml": json.dumps(secret),
        }
    )
    ship.create_app("told", git_repo, namespace)
    ship.synced("told", commit)
    ship.quiet()
    ship.reconcile("told")
    assert drifts(ship, "told") == []

    edit(ship, namespace, "a", {"v": "2", "w": None})
    edit(ship, namespace, "s", {"p": "c3dvcmRmaXNo"}, "secret")
    ship.kubectl("delete", "configmap", "b", f"--namespace={namespace}")
    ship.reconcile("told")
    ship.reconcile("told")  # it is the same drift, however often it is looked at

    ship.condition("told", "data.v, data.w, set by meddler (as it calls itself); left: selfHeal is off")
    ship.synced("told", commit, status="OutOfSync")
    told = drifts(ship, "told")
    assert {one["name"]: (one["what"], one["done"], one["times"]) for one in told} == {
        "a": ("changed", "left", 1),
        "b": ("missing", "left", 1),
        "s": ("changed", "left", 1),
    }
    by_name = {one["name"]: one for one in told}
    changed, removed = by_name["a"]["changes"]
    assert (changed["field"], changed["from"], changed["to"]) == ("data.v", '"1"', '"2"')
    assert (changed["manager"], changed["operation"]) == ("meddler", "Update")
    assert changed["when"].endswith("Z")
    assert (removed["field"], removed["from"], removed["to"], removed["manager"]) == (
        *("data.w", '"1"', None),
        None,
    )
    assert removed["when"].startswith("between 20")
    (masked,) = by_name["s"]["changes"]
    assert (masked["field"], set(masked["from"]), set(masked["to"])) == ("data.p", {*'"+'}, {*'"+'})
    assert masked["from"] != masked["to"]
    table = ship.mooring("app", "drift", "told").stdout
    assert "meddler" in table
    assert "swordfish" not in table + json.dumps(told)

    url = f"http://127.0.0.1:{ship.port}/api/v1/applications/{ship.home}/told/drifts"
    with urllib.request.urlopen(url, timeout=10) as response:
        answer = json.load(response)
    assert [one["name"] for one in answer] == [one["name"] for one in told]
    assert '"1"' not in json.dumps(answer)

    ship.operate("told")
    ship.synced("told", commit)
    ship.unsaid("told", "meddler")
    began = ship.app("told")["status"]["operationState"]["startedAt"]
    done(ship, "told", a="healed", b="healed", s="healed")
    assert {(one["done"], one["why"]) for one in drifts(ship, "told")} == {
        ("healed", f"put back by the sync that began at {began}")
    }
    of_left, of_healed = (announced(ship, "told", reason) for reason in ("Drifted", "DriftHealed"))
    for message in (of_left, of_healed):  # one of each, for all three
        assert f"ConfigMap {namespace}/a: data.v, data.w, set by meddler (as it calls itself)" in message
        assert f"ConfigMap {namespace}/b: deleted" in message
        assert "hunter2" not in message and "swordfish" not in message
    assert "left: selfHeal is off" in of_left


def test_whoever_sets_it_again_and_again_is_named_and_waited_for_but_a_commit_is_not(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    first = git_repo.commit({"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b", v="1")})
    ship.create_app("fought", git_repo, namespace, selfHeal=True)
    ship.synced("fought", first)
    ship.quiet()
    ship.reconcile("fought")

    def data() -> Any:
        return ship.configmap(namespace, "a")["data"]["v"]

    for _ in range(3):
        edit(ship, namespace, "a", {"v": "theirs"})
        ship.reconcile("fought")
        assert data() == "1"

    put_back(ship, "fought", times=12)
    edit(ship, namespace, "a", {"v": "theirs"})
    ship.reconcile("fought")
    ship.condition("fought", "contested with meddler (as it calls itself): data.v changed again each time")
    ship.synced("fought", first, status="OutOfSync")
    assert data() == "theirs"

    # Others are put back meanwhile, and that is all that is written.
    left = ship.configmap(namespace, "a")
    edit(ship, namespace, "b", {"v": "theirs"})
    ship.reconcile("fought")
    assert ship.configmap(namespace, "b")["data"]["v"] == "1"
    assert ship.configmap(namespace, "a") == left
    told = {one["name"]: one for one in reversed(drifts(ship, "fought"))}
    assert (told["a"]["done"], told["b"]["done"]) == ("contested", "healed")
    assert told["a"]["why"].startswith("put back 12 times in a row, and not again before 20")

    ship.deliver(git_repo, second := git_repo.commit({"a.yaml": configmap("a", v="2")}))
    ship.synced("fought", second)
    assert data() == "2"
    done(ship, "fought", a="healed", b="healed")


def test_what_was_waited_for_is_put_back_when_its_time_has_come(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="1")})
    ship.create_app("patient", git_repo, namespace, selfHeal=True)
    ship.synced("patient", commit)
    ship.quiet()
    ship.reconcile("patient")
    edit(ship, namespace, "a", {"v": "theirs"})
    ship.reconcile("patient")
    assert ship.configmap(namespace, "a")["data"]["v"] == "1"
    put_back(ship, "patient", times=6)  # the next one waits for 16 seconds
    edit(ship, namespace, "a", {"v": "theirs"})
    ship.reconcile("patient")
    assert ship.configmap(namespace, "a")["data"]["v"] == "theirs"

    until("what had to wait", lambda: ship.configmap(namespace, "a")["data"]["v"] == "1")
    ship.synced("patient", commit)
    done(ship, "patient", a="healed")
    (contested, *_) = drifts(ship, "patient")
    assert (contested["done"], contested["times"]) == ("healed", 2)


def test_what_is_left_to_others_is_told_once_and_is_no_difference(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": configmap("a", v="1", theirs="1")})
    ignored = [{"kind": "ConfigMap", "jsonPointers": ["/data/theirs"]}]
    ship.create_app("shared", git_repo, namespace, spec={"ignoreDifferences": ignored}, selfHeal=True)
    ship.synced("shared", commit)
    ship.quiet()
    ship.reconcile("shared")

    for value in "234":
        edit(ship, namespace, "a", {"theirs": value})
        ship.reconcile("shared")

    ship.synced("shared", commit)
    assert ship.configmap(namespace, "a")["data"] == {"v": "1", "theirs": "4"}
    (one,) = drifts(ship, "shared")
    (change,) = one["changes"]
    assert (one["done"], change["field"], change["to"]) == ("ignored", "data.theirs", '"4"')
    assert change["manager"] == "meddler"

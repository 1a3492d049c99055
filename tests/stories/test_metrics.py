"""What a Mooring measures and logs while it works, told by its processes as they run in containers."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from itertools import count
from typing import Any

import psutil
import pytest

from devcluster.gitserver import Repository
from mooring.keys import AppKey
from mooring.store.turns import Turns
from tests.stories.ship import Ship, configmap, until
from tests.stories.test_observer import SLOWLY

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def ship_processes() -> tuple[str, ...]:
    return ("web", "worker", "beat")


def is_well(ship: Ship, name: str) -> None:
    until(f"{name} to be well", lambda: ship.health(name)[0] == 200)


@pytest.fixture(autouse=True)
def well(ship: Ship) -> None:
    """Each story begins with processes that live."""
    for name in ship.children:
        is_well(ship, name)


def pool(ship: Ship, name: str) -> psutil.Process:
    """The worker of that name, as `mooring worker` runs it now."""

    def look() -> psutil.Process | None:
        for child in psutil.Process(ship.children["worker"].pid).children():
            with suppress(psutil.Error):
                if child.name() == name:
                    return child
        return None

    return until(f"the worker {name}", look)


def test_a_push_is_measured_from_its_receipt_to_the_cluster(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("measured", git_repo, namespace)
    ship.synced("measured", git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.quiet()
    app = str(AppKey(ship.home, "measured"))
    pushed = ship.counted("worker", "mooring_push_applied_seconds_count")
    took = ship.counted("worker", "mooring_push_applied_seconds_sum")
    syncs = ship.counted("worker", "mooring_syncs_total", app=app, phase="Succeeded")
    accepted = ship.counted("web", "mooring_deliveries_total", host="github", result="accepted")
    fetched = ship.counted("worker", "mooring_git_requests_total", operation="fetch", how="http", result="ok")
    applied = ship.counted("worker", "mooring_kubernetes_requests_total", verb="apply", group="core")
    began = time.time()

    ship.pushed(git_repo, {"a.yaml": configmap("a", v="2")})

    elapsed = time.time() - began
    now = ship.measured("worker")
    assert ship.counted("worker", "mooring_push_applied_seconds_count") == pushed + 1
    assert 0 < ship.counted("worker", "mooring_push_applied_seconds_sum") - took < elapsed
    assert ship.counted("worker", "mooring_syncs_total", app=app, phase="Succeeded") == syncs + 1
    assert ship.counted("web", "mooring_deliveries_total", host="github", result="accepted") == accepted + 1
    more = ship.counted("worker", "mooring_git_requests_total", operation="fetch", how="http", result="ok")
    assert more == fetched + 1
    assert ship.counted("worker", "mooring_kubernetes_requests_total", verb="apply", group="core") > applied
    stages = {s.labels["stage"] for s in now["mooring_stage_duration_seconds_count"] if s.value}
    assert {"queued", "fetched", "rendered", "planned", "applied", "synced"} <= stages
    assert ship.counted("web", "mooring_stage_duration_seconds_count", stage="received") >= 1
    asked = {(s.labels["verb"], s.labels["group"]) for s in now["mooring_kubernetes_requests_total"]}
    assert {("discover", ""), ("list", "argoproj.io"), ("patch", "argoproj.io")} <= asked


def asked(ship: Ship) -> Counter[tuple[str, str]]:
    """How often the API server was asked, by verb and group, once there is nothing more to do; but for lists,
    which beat has made, too, and events, which are told on the side."""
    ship.quiet()
    found = Counter[tuple[str, str]]()
    for sample in ship.measured("worker")["mooring_kubernetes_requests_total"]:
        if sample.labels["verb"] not in ("list", "discover", "create"):
            found[sample.labels["verb"], sample.labels["group"]] += int(sample.value)
    return found


def test_what_a_push_of_one_object_asks_of_the_api_server(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    files = {"a.yaml": configmap("a", v="1"), "b.yaml": configmap("b")}
    ship.create_app("cheap", git_repo, namespace)
    ship.synced("cheap", git_repo.commit(files))
    ship.finished(ship.deliver(git_repo, git_repo.commit({"a.yaml": configmap("a", v="2")})))

    values = count(3)

    least = {
        ("get", "argoproj.io"): 1,  # the Application
        ("get", "core"): 1,  # its inventory
        ("patch", "argoproj.io"): 2,  # the claim, the status
        ("apply", "core"): 1,  # what has changed, without a trial
    }

    def costs_least() -> bool:
        before = asked(ship)
        commit = git_repo.commit({"a.yaml": configmap("a", v=str(next(values)))})
        ship.finished(ship.deliver(git_repo, commit))
        found = asked(ship) - before
        # Another process that begins just then reads ConfigMaps of its own, and asks for nothing else.
        assert {**found, ("get", "core"): 1} == least
        return found == least

    until("a push that asks for no more than it has to", costs_least)


def test_how_the_observer_has_seen_that_objects_have_become_is_not_asked_for_again(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    commit = git_repo.commit({"a.yaml": SLOWLY})

    def lists() -> float:
        return ship.counted("worker", "mooring_kubernetes_requests_total", verb="list", group="apps")

    ship.start("observer")
    try:
        ship.create_app("told", git_repo, namespace)
        app = ship.synced("told", commit)
        ship.quiet_but("told")
        assert app["status"]["health"]["status"] == "Progressing"
        before = lists()

        until("it to be healthy", lambda: ship.app("told")["status"]["health"]["status"] == "Healthy")

        assert lists() == before
    finally:
        ship.end("observer")


def test_an_app_of_which_more_is_wanted_than_a_push_is_read_once_its_turn_has_come(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("twofold", git_repo, namespace)
    ship.synced("twofold", git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.finished(ship.deliver(git_repo, git_repo.commit({"a.yaml": configmap("a", v="2")})))
    before = asked(ship)
    with ship.redis() as client:
        Turns(client, time.time).want(
            f"app:{AppKey(ship.home, 'twofold')}", {"observed": "1"}, background=True
        )

    ship.finished(ship.deliver(git_repo, git_repo.commit({"a.yaml": configmap("a", v="3")})))

    # What was wished may be an operation that came since the push has read the app.
    assert asked(ship)["get", "argoproj.io"] == before["get", "argoproj.io"] + 2


def test_counts_outlive_the_processes_that_counted(ship: Ship, git_repo: Repository, namespace: str) -> None:
    ship.create_app("outlives", git_repo, namespace)
    ship.synced("outlives", git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.pushed(git_repo, {"a.yaml": configmap("a", v="2")})
    ship.quiet()
    counted = ship.counted("worker", "mooring_push_applied_seconds_count")
    requests = ship.counted("worker", "mooring_kubernetes_requests_total", verb="apply")
    assert counted >= 1

    deploy = pool(ship, "deploy")
    processes = deploy.children()
    for process in processes:  # their parent starts others
        process.kill()
    until("others in the pool", lambda: len(set(deploy.children()) - set(processes)) == len(processes))
    assert ship.counted("worker", "mooring_push_applied_seconds_count") == counted

    deploy.kill()  # and so does `mooring worker` with the whole of it
    until("another worker", lambda: pool(ship, "deploy").pid != deploy.pid)
    for _ in range(2):  # what was added up once is not added up again
        assert ship.counted("worker", "mooring_push_applied_seconds_count") == counted
        assert ship.counted("worker", "mooring_kubernetes_requests_total", verb="apply") >= requests

    ship.pushed(git_repo, {"a.yaml": configmap("a", v="3")})
    assert ship.counted("worker", "mooring_push_applied_seconds_count") == counted + 1


def test_what_is_refused_is_counted_by_host_and_reason(ship: Ship) -> None:
    def ask(path: str, body: bytes, **headers: str) -> int:
        sent = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        request = urllib.request.Request(f"http://127.0.0.1:{ship.port}{path}", body, sent)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def counted(host: str, result: str) -> float:
        return ship.counted("web", "mooring_deliveries_total", host=host, result=result)

    before = (
        counted("github", "unverified"),
        counted("gitlab", "no_secret"),
        counted("unknown", "unknown_host"),
    )

    assert ask("/webhooks/github", b"{}", X_GitHub_Event="push", X_Hub_Signature_256="sha256=00") == 401
    assert ask("/webhooks/gitlab", b"{}") == 403
    assert ask("/webhooks/a-name-that-a-stranger-chose", b"{}") == 404

    assert counted("github", "unverified") == before[0] + 1
    assert counted("gitlab", "no_secret") == before[1] + 1
    assert counted("unknown", "unknown_host") == before[2] + 1
    told = ship.measured("web")
    assert not [s for samples in told.values() for s in samples if "stranger" in str(s.labels)]
    assert sum(s.value for s in told["mooring_deliveries_in_flight"]) == 0


def test_nobody_on_the_network_reads_the_metrics(ship: Ship) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{ship.port}/metrics", timeout=10)


def test_a_worker_that_hangs_or_dies_is_named_until_it_lives_again(ship: Ship) -> None:
    deploy = pool(ship, "deploy")
    family = [deploy, *deploy.children()]

    def signalled(number: signal.Signals) -> None:
        for process in family:
            process.send_signal(number)

    def stopped() -> bool:
        """Between two tasks: with one it may stand still for minutes."""
        signalled(signal.SIGSTOP)
        pulses = ship.measured("worker")["mooring_process_pulse_timestamp_seconds"]
        if all(one.value <= time.time() for one in pulses if one.labels["process"] == "deploy"):
            return True
        signalled(signal.SIGCONT)
        return False

    until("it to hang", stopped)
    try:
        until("the hanging worker to be noticed", lambda: ship.health("worker")[0] == 503)
        words = ship.health("worker")[1]
    finally:
        signalled(signal.SIGCONT)
    assert words.startswith("deploy has not turned for"), words
    assert "slow" not in words
    until("health after it", lambda: ship.health("worker") == (200, "ok\n"))

    pool(ship, "slow").kill()
    until("the dead worker to be noticed", lambda: ship.health("worker")[0] == 503)
    until("health after it", lambda: ship.health("worker") == (200, "ok\n"))


def test_beat_tells_what_waits_and_how_the_applications_are(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("waits", git_repo, namespace)
    ship.synced("waits", git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.quiet()
    until("the application", lambda: ship.counted("beat", "mooring_applications", sync="Synced") >= 1)

    intake = pool(ship, "intake")
    intake.send_signal(signal.SIGSTOP)
    try:
        id = ship.deliver(git_repo, git_repo.commit({"a.yaml": configmap("a", v="2")}))
        second = ship.deliver(git_repo, git_repo.commit({"a.yaml": configmap("a", v="3")}))
        until(
            "a queue whose first has waited a second",
            lambda: ship.counted("beat", "mooring_queue_oldest_seconds", queue="intake") > 1,
        )
        assert ship.counted("beat", "mooring_queue_length", queue="intake") >= 1
        assert ship.counted("beat", "mooring_deliveries_unfinished") == 2
        assert ship.counted("beat", "mooring_delivery_oldest_unfinished_seconds") > 1
    finally:
        intake.send_signal(signal.SIGCONT)
    ship.finished(id)
    ship.finished(second)
    until("nothing unfinished", lambda: ship.counted("beat", "mooring_deliveries_unfinished") == 0)
    until("an empty queue", lambda: ship.counted("beat", "mooring_queue_oldest_seconds", queue="intake") == 0)


def test_a_beat_that_waits_for_the_lease_is_well_and_leaves_the_gauges_to_the_other(ship: Ship) -> None:
    ship.start("beat-second")
    try:
        until("the second beat", lambda: ship.health("beat-second")[0] == 200)
        assert ship.counted("beat", "mooring_redis_up") == 1
        assert "mooring_redis_up" not in ship.measured("beat-second")
    finally:
        ship.end("beat-second")


def test_every_line_is_json_and_says_what_it_is_about(
    ship: Ship, git_repo: Repository, namespace: str
) -> None:
    ship.create_app("logged", git_repo, namespace)
    ship.synced("logged", git_repo.commit({"a.yaml": configmap("a", v="1")}))
    ship.quiet()

    good = git_repo.commit({"a.yaml": configmap("a", v="2")})
    delivery = ship.deliver(git_repo, good)
    ship.finished(delivery)

    def lines(name: str) -> list[dict[str, Any]]:
        whole, _, _ = ship.log(name).rpartition("\n")
        return [json.loads(text) for text in whole.splitlines()]

    def told() -> list[dict[str, Any]]:
        return [
            one for one in lines("worker") if one.get("delivery") == delivery and "sync of" in one["event"]
        ]

    (line,) = until("the sync to be logged", lambda: told() or None)
    for name in ("web", "worker", "beat"):
        for one in lines(name):
            assert {"timestamp", "level", "event", "process"} <= one.keys(), one
    app = str(AppKey(ship.home, "logged"))
    assert (line["app"], line["commit"], line["process"]) == (app, good, "deploy")
    assert not [one for one in lines("worker") if "superuser" in one["event"] or "transport:" in one["event"]]

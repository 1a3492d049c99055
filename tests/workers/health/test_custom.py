"""Health as an installation has it: what its checks say, and that none of them harms anybody."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from mooring.errors import Refused
from mooring.settings import Settings
from workers.health import BUILT_IN, Health, HealthStatus, Judge
from workers.health.custom import Judges
from workers.scripts.sandbox import Sandbox

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "custom.yaml").read_text())
DOOR = {"apiVersion": "example.com/v1", "kind": "Door", "metadata": {"name": "front"}}
KEY = "resource.customizations.health.example.com_Door"
FINE = Health(HealthStatus.HEALTHY)

JudgeBy = Callable[[dict[str, str]], Judge]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(Settings(state_dir=str(tmp_path_factory.mktemp("state"))))
    yield sandbox
    sandbox.close()


@pytest.fixture
def judge_by(sandbox: Sandbox) -> JudgeBy:
    return lambda config: Judges(lambda: config, sandbox).now()


def children() -> list[psutil.Process]:
    """The programs that evaluate, below this process."""
    return [
        each
        for each in psutil.Process().children(recursive=True)
        if any(word.endswith("scripts/evaluate.py") for word in each.cmdline())
    ]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_checks_say_what_the_table_says(case: dict[str, Any], judge_by: JudgeBy) -> None:
    judge = judge_by(case["config"])
    expected = (
        None if case["status"] is None else Health(HealthStatus(case["status"]), case.get("message", ""))
    )
    assert judge.assess(case["object"]) == expected
    assert list(judge.problems.values()) == ([case["message"]] if case.get("problem") else [])


def test_the_tables_have_every_case_once() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_without_checks_only_built_in_kinds_are_judged(judge_by: JudgeBy) -> None:
    assert judge_by({}) is BUILT_IN
    assert judge_by({"kustomize.buildOptions": "--enable-helm"}) is BUILT_IN


def test_kinds_with_a_check_are_judged_and_secrets_never(judge_by: JudgeBy) -> None:
    judge = judge_by({KEY: "return nil", "resource.customizations.health.Secret": "return nil"})
    assert judge.judges("example.com", "Door")
    assert judge.judges("apps", "Deployment")
    assert not judge.judges("", "Secret")
    assert not judge.judges("", "ConfigMap")


# --- what would harm ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "script",
    [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "return setmetatable({status = 1}, {__index = function() while true do end end})",
        "return string.find(string.rep('a', 200000), string.rep('.-', 20) .. 'b')",
        "local function again() return again() end again()",
    ],
)
def test_a_script_without_end_is_ended_and_the_next_one_is_run(script: str, judge_by: JudgeBy) -> None:
    open_libs = {KEY.replace(".health.", ".useOpenLibs."): "true"}
    judge = judge_by(
        {KEY: script, **open_libs, "resource.customizations.health.Pod": "return {status='Healthy'}"}
    )
    said = judge.assess(DOOR)
    why = f"{KEY} has not ended after 1 s: look for a loop"
    assert said == Health(HealthStatus.UNKNOWN, why)
    assert judge.problems == {KEY: why}
    assert judge.assess({"apiVersion": "v1", "kind": "Pod"}) == FINE


def test_one_that_was_ended_is_not_asked_about_the_next_object(judge_by: JudgeBy) -> None:
    judge = judge_by({KEY: "while true do end"})
    first = judge.assess(DOOR)
    before = children()
    assert [judge.assess(DOOR) for _ in range(100)] == [first] * 100
    assert children() == before  # none was started for it


def test_one_that_was_ended_is_asked_again_in_the_next_look(sandbox: Sandbox) -> None:
    judges = Judges(lambda: {KEY: "while obj.spins do end return {status = 'Healthy'}"}, sandbox)
    judge = judges.now()
    ended = judge.assess({**DOOR, "spins": True})
    assert ended is not None and ended.status is HealthStatus.UNKNOWN
    assert judge.assess(DOOR) == ended
    assert judges.still(judge) is judge
    assert judge.assess(DOOR) == FINE
    assert not judge.problems


def test_an_object_that_is_nested_too_deep_is_told_and_harms_nobody(judge_by: JudgeBy) -> None:
    judge = judge_by({KEY: "return {status = 'Healthy'}"})
    deep: dict[str, Any] = {}
    for _ in range(1000):  # as deep as what the API server says is read
        deep = {"a": deep}
    why = f"{KEY} was not evaluated: the object is nested too deep"
    assert judge.assess({**DOOR, "status": deep}) == Health(HealthStatus.UNKNOWN, why)
    assert judge.problems == {KEY: why}
    assert judge.assess(DOOR) == FINE


@pytest.mark.parametrize(
    "script",
    [
        "local text = 'x' while true do text = text .. text end",
        "local all = {} while true do all[#all + 1] = {} end",
        "return string.rep('x', 1e9)",
    ],
)
def test_a_script_that_takes_ever_more_memory_is_ended(script: str, judge_by: JudgeBy) -> None:
    judge = judge_by({KEY: script, KEY.replace(".health.", ".useOpenLibs."): "true"})
    why = f"{KEY} needs more than 64 MiB of memory"
    assert judge.assess(DOOR) == Health(HealthStatus.UNKNOWN, why)
    assert judge.problems == {KEY: why}


def test_expressions_over_expressions_are_ended(judge_by: JudgeBy) -> None:
    deep = "true"
    for name in "abcdefgh":
        deep = f"[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].all({name}, {deep})"
    judge = judge_by(
        {"resource.healthCheckExprs": f"[{{apiVersion: example.com/v1, kind: Door, current: '{deep}'}}]"}
    )
    said = judge.assess(DOOR)
    assert said is not None
    assert (said.status, said.message) == (
        HealthStatus.UNKNOWN,
        "resource.healthCheckExprs[0] current: INTERNAL: Iteration budget exceeded [INTERNAL]",
    )


def test_no_script_changes_what_the_next_one_sees(judge_by: JudgeBy) -> None:
    spoils = "obj = nil ipairs = nil os.time = nil table.concat = nil _G.left = 1 return {status = 'Healthy'}"
    assert judge_by({KEY: spoils}).assess(DOOR) == FINE
    looks = (
        "return {status = 'Healthy', message = type(ipairs) .. type(os.time) .. type(table.concat) .. "
        "type(_G.left) .. obj.metadata.name}"
    )
    found = judge_by({KEY: looks}).assess(DOOR)
    assert found == Health(HealthStatus.HEALTHY, "functionfunctionfunctionnilfront")


def test_messages_have_an_end(judge_by: JudgeBy) -> None:
    long = "local t = {} for i = 1, 5000 do t[i] = 'x' end return {status = 'Healthy', message = %s}"
    judge = judge_by({KEY: long % "table.concat(t)"})
    assert judge.assess(DOOR) == Health(HealthStatus.HEALTHY, "x" * 2000)


# --- the child ------------------------------------------------------------------------------------
def test_one_child_answers_for_all_and_another_takes_its_place(judge_by: JudgeBy) -> None:
    judge = judge_by({KEY: "return {status = 'Healthy'}"})
    assert judge.assess(DOOR) == FINE
    (child,) = children()
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(judge.assess, [DOOR] * 64)) == [FINE] * 64
    assert children() == [child]
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert judge.assess(DOOR) == FINE
    assert len(children()) == 1
    assert not judge.problems


def test_what_nobody_can_evaluate_is_waited_for_and_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = Sandbox(Settings(state_dir=str(tmp_path / "file")))
    judge = Judges(lambda: {KEY: "return {status = 'Healthy'}"}, nowhere).now()
    said = judge.assess(DOOR)
    assert said is not None
    why = "its program could not be started: Not a directory"
    assert said == Health(HealthStatus.PROGRESSING, f"{KEY} was not evaluated: {why}")
    assert judge.problems == {KEY: said.message}


class Interrupted(Exception):
    """As Celery's time limit, which comes at any time."""


def test_who_is_interrupted_leaves_no_answer_for_the_next_one(judge_by: JudgeBy) -> None:
    def late(*_: object) -> None:
        raise Interrupted

    judge = judge_by(
        {KEY: "while true do end", "resource.customizations.health.Pod": "return {status = 'Healthy'}"}
    )
    assert judge.assess({"apiVersion": "v1", "kind": "Pod"}) == FINE
    before = signal.signal(signal.SIGUSR1, late)
    try:
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(Interrupted):
            judge.assess(DOOR)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert judge.assess({"apiVersion": "v1", "kind": "Pod"}) == FINE


def test_objects_of_one_cluster_that_end_the_child_keep_it_from_those_of_no_other(tmp_path: Path) -> None:
    sandbox = Sandbox(Settings(state_dir=str(tmp_path)))
    judges = Judges(lambda: {KEY: "while obj.spins do end return {status = 'Healthy'}"}, sandbox)
    judge = judges.now()
    sick, well = judge.of("sick"), judge.of("well")
    ended = sick.assess({**DOOR, "spins": True})
    assert ended is not None and ended.status is HealthStatus.UNKNOWN
    assert sick.assess(DOOR) == ended
    assert well.assess(DOOR) == FINE and not well.problems

    assert judges.still(judge) is judge  # another look
    assert judge.of("sick") is sick
    before = children()
    assert sick.assess(DOOR) == FINE
    (own,) = [each for each in children() if each not in before]
    own.suspend()
    with ThreadPoolExecutor(1) as thread:
        waits = thread.submit(sick.assess, DOOR)
        assert well.assess(DOOR) == FINE
        assert not waits.done()
        own.resume()
        assert waits.result() == FINE
    sandbox.close()
    assert not own.is_running()


def test_with_the_sandbox_its_child_ends(tmp_path: Path) -> None:
    sandbox = Sandbox(Settings(state_dir=str(tmp_path)))
    before = children()
    assert Judges(lambda: {KEY: "return {status = 'Healthy'}"}, sandbox).now().assess(DOOR) == FINE
    (child,) = [each for each in children() if each not in before]
    sandbox.close()
    assert not child.is_running()
    assert not list((tmp_path / "scratch").iterdir())


# --- what makes no sense ----------------------------------------------------------------------------
LEGACY, EXPRESSIONS = "resource.customizations", "resource.healthCheckExprs"
OPEN_LIBS = "resource.customizations.useOpenLibs.example.com_Door"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (
            {LEGACY: "a: {}\nb: c: d"},
            f"{LEGACY}: is no YAML: mapping values are not allowed in this context (line 2)",
        ),
        ({LEGACY: "[a]"}, f"{LEGACY}: is no mapping"),
        ({LEGACY: "[" * 100_000}, f"{LEGACY}: is nested deeper than 50 levels"),
        ({LEGACY: "a/B: !!timestamp never"}, f"{LEGACY}: is no YAML that can be read"),
        ({LEGACY: "a/B: !!bool perhaps"}, f"{LEGACY}: is no YAML that can be read"),
        ({LEGACY: "a/B: c"}, f"{LEGACY}: a/B: is no mapping"),
        (
            {LEGACY: "a/B: {health.lua: [1]}"},
            f"{LEGACY}: a/B: health.lua is no text: write a script in Lua, as a block behind `|`",
        ),
        (
            {LEGACY: "'{a/B': {health.lua: x}"},
            f"{LEGACY}: {{a/B: '{{a/B' has a '{{' without its '}}'",
        ),
        (
            {f"{LEGACY}.health.a_b_C": "x"},
            f"{LEGACY}.health.a_b_C: names no kind: write <group>_<kind>, or <kind> of the core group",
        ),
        ({KEY: "x", OPEN_LIBS: "yes"}, f"{OPEN_LIBS}: useOpenLibs is 'yes': write true or false"),
        (
            {EXPRESSIONS: "a: b"},
            f"{EXPRESSIONS}: is no list: write it as the healthCheckExprs of a Flux Kustomization",
        ),
        (
            {EXPRESSIONS: "[{apiVersion: a/v1, kind: B}]"},
            f"{EXPRESSIONS}[0]: needs apiVersion, kind and current",
        ),
        (
            {EXPRESSIONS: "[{apiVersion: a/v1, kind: B, current: 'true', ready: x}]"},
            f"{EXPRESSIONS}[0]: 'ready' is no field of it: correct it, or leave it out",
        ),
        (
            {EXPRESSIONS: "[{apiVersion: a/v1, kind: B, current: true}]"},
            f"{EXPRESSIONS}[0]: has a field that is no text: put expressions into quotes",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(
    config: dict[str, str], why: str, judge_by: JudgeBy
) -> None:
    with pytest.raises(Refused) as refused:
        judge_by(config)
    assert str(refused.value) == f"ConfigMap argocd-cm, {why}"
    assert refused.value.condition == "ComparisonError"

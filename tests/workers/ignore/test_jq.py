"""Expressions of jq: what they name, and that none of them harms anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mooring.errors import Refused
from mooring.settings import Settings
from workers.ignore.jq import Jq
from workers.ignore.rules import Expression

WEB: dict[str, Any] = {
    "metadata": {"name": "web", "annotations": {"a/b": "1"}, "managedFields": [{"manager": "x"}]},
    "spec": {"containers": [{"name": "web"}, {"name": "proxy", "image": "proxy:1"}]},
    "status": {"ready": 1},
}


def expressions(*texts: str) -> list[Expression]:
    return [
        Expression(f"spec.ignoreDifferences[0].jqPathExpressions[{number}]", text)
        for number, text in enumerate(texts)
    ]


@pytest.fixture
def jq(tmp_path: Path) -> Jq:
    return Jq(Settings(state_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("expression", "places"),
    [
        ('.spec.containers[] | select(.name == "proxy") | .image', [["spec", "containers", 1, "image"]]),
        ('.metadata.annotations["a/b"]', [["metadata", "annotations", "a/b"]]),
        (".spec.containers[-1]", [["spec", "containers", -1]]),
        (".spec.containers[0:1]", [["spec", "containers", {"start": 0, "end": 1}]]),
        (".spec.replicas # scaled by others", [["spec", "replicas"]]),
        (".spec.volumes[]", []),  # there are none: it does not apply
        (".status | keys[]", []),  # no expression sees what is never compared
        ("select(env.PATH) | .spec", [["spec"]]),  # the child has an environment of its own
        ("select(env.MOORING_REDIS_URL) | .spec", []),
    ],
)
def test_an_expression_names_places(
    jq: Jq, expression: str, places: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORING_REDIS_URL", "redis://:password@redis")
    jq.check(expressions(expression))
    assert jq.places(expressions(expression), WEB) == places


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        (
            ".spec.containers[",
            "is no expression of jq: syntax error, unexpected end of file (line 1, column 17)",
        ),
        (".spec) , (.status", "is no expression of jq: syntax error"),
        ("replicas", "is no expression of jq: replicas/0 is not defined (line 1, column 1)"),
        (
            'import "config" as $c {search: "/root/.docker"}; .',
            "is no expression of jq: module not found: config",
        ),
        ("[" * 30_000, "is no expression of jq: "),
    ],
)
def test_what_is_no_expression_is_named_and_told_why(jq: Jq, expression: str, why: str) -> None:
    with pytest.raises(Refused) as refused:
        jq.check(expressions(".spec", expression))
    assert str(refused.value).startswith(f"spec.ignoreDifferences[0].jqPathExpressions[1]: {why}")
    assert refused.value.condition == "InvalidSpecError"


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("last(range(1e12))", "has not ended after 1 s: look for a loop"),
        ("until(false; .)", "has not ended after 1 s: look for a loop"),
        ('"x" | until(false; . + .)', "needs more than 512 MiB of memory: look for a recursion without end"),
        ('"x" * 1e9 | .[0:1]', "needs more than 512 MiB of memory: look for a recursion without end"),
        ("repeat(.)", "names more than 10000 fields of one object"),
        (".metadata.name | ascii_upcase", "computes a value, which is no path"),
    ],
)
def test_an_expression_without_end_is_ended_and_named(jq: Jq, expression: str, why: str) -> None:
    with pytest.raises(Refused) as refused:
        jq.places(expressions(".spec", expression), WEB)
    assert str(refused.value) == f"spec.ignoreDifferences[0].jqPathExpressions[1]: {why}"


def test_what_takes_ever_more_of_both_is_ended_by_the_limit_that_it_meets_first(jq: Jq) -> None:
    """Which one that is depends on the machine: its processor is counted while the memory fills."""
    with pytest.raises(Refused, match=r"has not ended after 1 s|needs more than 512 MiB of memory"):
        jq.check(expressions("def f: [f]; f"))


def test_an_endless_one_is_found_before_there_is_any_object(jq: Jq) -> None:
    with pytest.raises(Refused, match=r"jqPathExpressions\[0\]: has not ended after 1 s"):
        jq.check(expressions("last(range(1e12))"))


def test_no_value_of_an_object_is_in_an_error(jq: Jq) -> None:
    secret = {"metadata": {}, "data": {"password": "aHVudGVyMg=="}}
    told = []
    for expression in (
        ".data.password | ascii_upcase",
        "debug | error",
        ".data.password | stderr | last(range(1e12))",
        ".data.password | error",
        ".data.password | [limit(1e9; repeat(.))]",
    ):
        try:
            assert jq.places(expressions(expression), secret) == []
        except Refused as refused:
            told.append(str(refused))
    assert len(told) == 3 and "aHVudGVyMg" not in "".join(told)


def test_what_was_learnt_of_many_objects_is_not_asked_again(jq: Jq, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[dict[str, Any]] = [
        {"metadata": {"name": f"web-{number}"}, "spec": {"replicas": number}} for number in range(50)
    ]
    asked = expressions(".spec.replicas", ".spec.paused")
    jq.learn((asked, body) for body in bodies)
    monkeypatch.setattr("workers.ignore.jq.run", None)  # whoever calls it now fails
    for body in bodies:
        moved = {**body, "status": {"ready": 9}, "metadata": {**body["metadata"], "resourceVersion": "7"}}
        assert jq.places(asked, moved) == [["spec", "replicas"], ["spec", "paused"]]


def test_without_expressions_there_is_no_child(jq: Jq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.ignore.jq.run", None)
    jq.check([])
    jq.learn([([], WEB)])
    assert jq.places([], WEB) == []

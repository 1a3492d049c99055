"""Label selectors choose what kubectl would choose."""

from __future__ import annotations

import pytest

from cli.selector import selector

LABELS = {"team": "sea", "tier": "a", "example.com/stage": "test", "empty": ""}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "team=sea",
        "team==sea, tier=a",
        "team = sea",
        "team!=land",
        "other!=land",
        "tier in (a, b)",
        "tier notin (b,c),team",
        "other notin (a)",
        "team,!other",
        "example.com/stage=test",
        "empty=",
    ],
)
def test_what_matches(text: str) -> None:
    assert selector(text)(LABELS)


@pytest.mark.parametrize(
    "text",
    ["team=land", "team=sea,tier=b", "team!=sea", "tier in (b,c)", "tier notin (a)", "other", "!team"],
)
def test_what_does_not(text: str) -> None:
    assert not selector(text)(LABELS)


@pytest.mark.parametrize("text", ["team=sea,", "=sea", "tier in a", "a b", "team=sea=land", "team>3"])
def test_what_is_no_selector_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is no requirement"):
        selector(text)

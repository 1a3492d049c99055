"""File patterns, as Argo CD's users know them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.render.globs import matches


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("*.yaml", ["a.yaml", "b/c.yaml", ".yaml"], ["a.yml", "a.yaml.bak"]),
        ("{config.json,env-usw2/*}", ["config.json", "env-usw2/a.yaml"], ["env/a.yaml", "x/config.json"]),
        ("**/x.yaml", ["a/x.yaml", "a/b/x.yaml"], ["x.yaml", "ax.yaml"]),
        ("?.yaml", ["a.yaml", "/.yaml"], ["ab.yaml"]),
        ("[ab].yaml", ["a.yaml"], ["c.yaml"]),
        ("[!ab].yaml", ["c.yaml"], ["a.yaml"]),
        ("[a-c].yaml", ["b.yaml"], ["d.yaml", "-.yaml"]),
        ("{a,b{c,d}}*", ["a", "bc", "bd/x"], ["b", "c"]),
        ("{,a}b", ["b", "ab"], ["a"]),
        (r"\*.yaml", ["*.yaml"], ["a.yaml"]),
        (r"\{a,b\}", ["{a,b}"], ["a", "b"]),
        ("a*b*ab", ["abab", "axbxab"], ["ab", "aab"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_patterns(pattern: str, fits: list[str], others: list[str]) -> None:
    assert [path for path in fits + others if matches(pattern, path)] == fits


@pytest.mark.parametrize("pattern", ["{a", "[a", "a\\", "[b-a]", "{a,b}" * 20])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"has "):
        matches(pattern, "a")


def test_many_stars_take_no_time() -> None:
    assert not matches("*a" * 60 + "b", "a" * 5000)


@given(st.text(alphabet="ab*?[]{},!-\\/.", max_size=16), st.text(alphabet="ab/.", max_size=16))
def test_every_pattern_has_an_answer_or_is_refused(pattern: str, path: str) -> None:
    try:
        matches(pattern, path)
    except ValueError as error:
        assert str(error).startswith("has ")

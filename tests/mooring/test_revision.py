"""Which pushes concern a targetRevision, and which ref it means."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.revision import concerns, is_commit, is_digest, is_range, is_version, resolve

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("target", "ref", "concerned"),
    [
        ("main", "refs/heads/main", True),
        ("main", "refs/heads/feature/main", False),
        ("main", "refs/tags/main", True),
        ("refs/heads/main", "refs/heads/main", True),
        ("refs/heads/main", "refs/tags/main", False),
        ("feature/x", "refs/heads/feature/x", True),
        ("v1.2.3", "refs/tags/v1.2.3", True),
        ("v1.2.3", "refs/tags/v1.2.4", False),
        ("1.2", "refs/tags/1.2.9", False),  # a plain version is a pin, not a range
        ("", "refs/heads/trunk", True),
        ("HEAD", "refs/heads/trunk", True),
        ("HEAD", "refs/heads/other", False),
        ("HEAD", "refs/tags/trunk", False),
        (SHA, "refs/heads/main", False),
        (SHA, f"refs/heads/{SHA}", False),
        ("1.*", "refs/tags/v1.4.0", True),
        ("1.*", "refs/tags/v2.0.0", False),
        ("1.*", "refs/heads/1.4.0", False),
        ("1.*", "refs/tags/not-a-version", False),
        ("pull/7/head", "refs/pull/7/head", True),
    ],
)
def test_a_push_concerns_those_who_follow_its_ref(target: str, ref: str, concerned: bool) -> None:
    assert concerns(target, ref, "trunk") is concerned


def test_any_branch_may_be_head_while_the_default_branch_is_unknown() -> None:
    assert concerns("HEAD", "refs/heads/anything", "")
    assert not concerns("HEAD", "refs/tags/v1", "")


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        ("*", ["0.0.1", "v9.9.9"], ["1.0.0-rc1"]),
        ("1.*", ["1.0.0", "v1.9.9"], ["2.0.0", "0.9.0", "1.5.0-beta"]),
        ("v1.x", ["1.0.0", "1.2.3"], ["2.0.0"]),
        ("1.2.x", ["1.2.0", "1.2.9"], ["1.3.0"]),
        (">=1.2 <2", ["1.2.0", "1.99.0"], ["1.1.9", "2.0.0"]),
        (">= 1.2, < 2", ["1.2.0", "1.99.0"], ["1.1.9", "2.0.0"]),
        (">=1.2.0-0", ["1.2.0-rc1", "1.2.0", "3.0.0-alpha"], ["1.1.0"]),
        (">1", ["2.0.0"], ["1.0.0", "1.9.9"]),
        (">11.1", ["11.2.0", "12.0.0"], ["11.1.5", "11.0.0"]),
        ("<=1.2", ["1.2.9", "1.0.0"], ["1.3.0"]),
        ("<2", ["1.9.9"], ["2.0.0"]),
        ("!=1.2.x", ["1.3.0"], ["1.2.7"]),
        ("!=1.2.3", ["1.2.4"], ["1.2.3"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.2.2", "1.3.0"]),
        ("~1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0", ["0.9.0"], ["1.0.0"]),
        ("1.2 - 1.4.5", ["1.2.0", "1.4.5"], ["1.4.6", "1.1.9"]),
        ("1.x || >=3.1", ["1.5.0", "3.1.0"], ["2.0.0", "3.0.9"]),
        ("=1.2.3", ["1.2.3", "v1.2.3+build"], ["1.2.4"]),
    ],
)
def test_ranges_are_read_as_argo_cd_reads_them(wanted: str, inside: list[str], outside: list[str]) -> None:
    assert is_range(wanted)
    assert [v for v in inside if not concerns(wanted, f"refs/tags/{v}", "main")] == []
    assert [v for v in outside if concerns(wanted, f"refs/tags/{v}", "main")] == []


@pytest.mark.parametrize(
    "text", ["main", "v1", "1.2.3", "release-1.x", "HEAD", "refs/heads/x", SHA, ">=", "a b"]
)
def test_other_revisions_are_no_ranges(text: str) -> None:
    assert not is_range(text)


def test_the_highest_matching_tag_is_meant() -> None:
    refs = {f"refs/tags/{tag}": tag for tag in ("v1.9.0", "v1.10.0", "v2.0.0", "v1.11.0-rc1", "latest")}
    assert resolve("1.*", refs) == "refs/tags/v1.10.0"
    assert resolve(">=1.11.0-0 <2", {"refs/tags/v1.11.0-rc1": "a", "refs/tags/v1.11.0-rc.2": "b"}) is None
    assert resolve("^1.11.0-0", refs) == "refs/tags/v1.11.0-rc1"
    assert resolve("3.*", refs) is None


def test_a_branch_comes_before_a_tag_of_its_name() -> None:
    refs = {"HEAD": "1", "refs/heads/v1": "2", "refs/tags/v1": "3"}
    assert resolve("v1", refs) == "refs/heads/v1"
    assert resolve("refs/tags/v1", refs) == "refs/tags/v1"
    assert resolve("", refs) == resolve("HEAD", refs) == "HEAD"
    assert resolve("gone", refs) is None


def test_a_commit_is_no_ref() -> None:
    assert is_commit(SHA) and is_commit(SHA.upper()) and not is_commit(SHA[:7])
    assert resolve(SHA, {f"refs/heads/{SHA}": "x"}) is None


_NUMBERS = st.tuples(*[st.integers(0, 20)] * 3)


@given(st.lists(_NUMBERS, min_size=1, unique=True))
def test_among_plain_versions_the_greatest_wins(versions: list[tuple[int, int, int]]) -> None:
    refs = {"refs/tags/v{}.{}.{}".format(*version): "x" for version in versions}
    assert resolve(">=0.0.0", refs) == "refs/tags/v{}.{}.{}".format(*max(versions))


def test_a_number_too_long_for_a_version_is_no_version() -> None:
    assert not concerns("1.*", f"refs/tags/1.{'9' * 5000}", "main")
    assert concerns(">=1.0.0-1", f"refs/tags/1.0.0-{'9' * 5000}", "main")


def test_prereleases_are_ordered_as_semver_says() -> None:
    ordered = ["alpha", "alpha.1", "alpha.beta", "beta", "beta.2", "beta.11", "rc.1"]
    for low, high in pairwise(ordered):
        refs = {f"refs/tags/1.0.0-{high}": "x", f"refs/tags/1.0.0-{low}": "x"}
        assert resolve(">=1.0.0-0", refs) == f"refs/tags/1.0.0-{high}"


@given(st.text(), st.text(), st.text())
def test_no_revision_and_no_push_can_break_the_question(target: str, ref: str, branch: str) -> None:
    assert concerns(target, ref, branch) in (True, False)
    assert resolve(target, {ref: "x"}) in (None, ref)


@pytest.mark.parametrize("revision", ["1.2.3", "v1.2.3", "1.2.3-rc.1+build"])
def test_a_whole_version_is_no_range(revision: str) -> None:
    assert is_version(revision)
    assert not is_range(revision)


@pytest.mark.parametrize("revision", ["", "1.2", "1.2.x", "^1.2.3", ">=1.2.3", "latest", "sha256:0", "main"])
def test_what_may_be_another_tomorrow_is_neither_a_version_nor_a_digest(revision: str) -> None:
    assert not is_version(revision)
    assert not is_digest(revision)


def test_a_digest_is_told_by_its_algorithm() -> None:
    assert is_digest("sha256:" + "0" * 64)

"""Stories of how the push benchmark reads a delivery's time line, and of the bare loop's own Git."""

from __future__ import annotations

import pytest

from benchmarks.push import _stages
from benchmarks.push_bare import _blobs
from benchmarks.report import percentile


def test_a_stage_counts_from_the_end_of_the_one_before() -> None:
    line = [
        {"name": "received", "at": 100.002, "took_ms": 2.0},
        {"name": "queued", "at": 100.010, "took_ms": 0.0},
        {"name": "enqueued", "at": 100.003, "took_ms": 1.0},  # beside the journey
        {"name": "fetched", "at": 100.050, "took_ms": 30.0},
        {"name": "synced", "at": 100.100, "took_ms": 50.0},
        {"name": "synced", "at": 100.900, "took_ms": 50.0},  # another app's, later
    ]
    took = _stages(99.999, {"stages": line})
    assert list(took) == ["received", "queued", "fetched", "synced"]
    assert list(took.values()) == pytest.approx([3.0, 8.0, 40.0, 50.0])


def test_what_git_prints_of_many_files_is_read_back(contents: dict[str, bytes]) -> None:
    printed = b"".join(
        b"%040d blob %d\n%b\n" % (number, len(content), content)
        for number, content in enumerate(contents.values())
    )
    assert _blobs(printed) == list(contents.values())


@pytest.fixture
def contents() -> dict[str, bytes]:
    return {"empty": b"", "line": b"a: 1\n", "no newline": b"b: 2", "binary": bytes(range(256))}


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.95) == 3
    with pytest.raises(ValueError):
        percentile([], 0.5)

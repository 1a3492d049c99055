"""What a Mooring takes of a machine, sample by sample, and whether any of it grows.

A process that is killed every minute never grows. So each kind lives undisturbed through one half of a soak
(benchmarks/soak_plan.py) and is judged by that one: its first third is warming up, the other two
are compared.
"""

from __future__ import annotations

import contextlib
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import redis

from benchmarks.soak_plan import KILLED

TELLING_S: Final = 600.0  # a half that is shorter tells nothing
GROWTH: Final = 0.05  # of its memory, which a kind may have more of in the last third than in the one before
_LITTLE_KB: Final = 2048.0  # is nothing, whatever share it is
_FEW: Final = 8.0  # files, threads or keys, likewise: connections come and go
_ALL: Final = "all"
# Kept of each push and drift, for as long as is set; and two an app at most, one of them while it is wanted.
_MAY_COME: Final = ("mooring:ledger:", "mooring:drifts:", "mooring:turn:app")

Amounts = Mapping[str, float]
_Of = Callable[["Sample"], Amounts]


@dataclass(frozen=True, slots=True)
class Sample:
    """By kind of process, of all together: how many there are, kB of PSS and RSS, open files, threads. Redis'
    keys by their first words, kB on disk by directory. `at` in seconds."""

    at: float
    processes: Mapping[str, int]
    pss: Amounts
    rss: Amounts
    files: Amounts
    threads: Amounts
    keys: Amounts
    disk: Amounts


def sample(at: float, kinds: Mapping[str, Sequence[psutil.Process]], redis_url: str, state: Path) -> Sample:
    """As it is now."""

    def each(of: Callable[[psutil.Process], float]) -> Amounts:
        return {kind: sum(_or_nothing(of, process) for process in found) for kind, found in kinds.items()}

    homes = sorted(state.iterdir()) if state.exists() else []
    return Sample(
        at,
        {kind: len(found) for kind, found in kinds.items()},
        each(lambda process: _kb(process, "Pss:")),
        each(lambda process: _kb(process, "Rss:")),
        each(lambda process: float(process.num_fds())),
        each(lambda process: float(process.num_threads())),
        _keys(redis_url),
        {home.name: _size(home) for home in homes},
    )


def spared(samples: Sequence[Sample], kind: str) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """What is compared, of two thirds of the half in which nobody killed that kind: by default the last.

    A pool has one more process while it is needed, and that is no growth: of either third, those samples with
    as many processes as most of both have in common. All of them, where they have none in common."""
    half = len(samples) // 2
    own = samples[:half] if kind in KILLED[1] else samples[half:]
    third = len(own) // 3
    thirds = own[third : 2 * third], own[2 * third :]
    numbers = [Counter(_processes(one, kind) for one in part) for part in thirds]
    common = (numbers[0] & numbers[1]).most_common(1)
    if not common:
        return thirds
    earlier, later = ([one for one in part if _processes(one, kind) == common[0][0]] for part in thirds)
    return earlier, later


def _processes(one: Sample, kind: str) -> int:
    return sum(one.processes.values()) if kind == _ALL else one.processes.get(kind, 0)


def median(samples: Sequence[Sample], of: Callable[[Sample], Amounts], kind: str) -> float:
    """0 where there is none."""
    return statistics.median([of(one).get(kind, 0.0) for one in samples] or [0.0])


def growing(samples: Sequence[Sample]) -> list[str]:
    """A line for each thing that grows. None where the time was too short to tell."""
    if not samples or (samples[-1].at - samples[0].at) / 2 < TELLING_S:
        return []
    found = []
    for name, of, share, little in _JUDGED:
        for kind in sorted({kind for one in samples for kind in of(one)}):
            thirds = spared(samples, kind)
            earlier, later = (median(part, of, kind) for part in thirds)
            if later - earlier > max(little, GROWTH * median(thirds[0], share, kind)):
                found.append(f"{name} of {kind}: {earlier:.0f}, and later {later:.0f}")
    return found


def _lasting(one: Sample) -> Amounts:
    return {words: count for words, count in one.keys.items() if not words.startswith(_MAY_COME)}


def _whole(one: Sample) -> Amounts:
    return {_ALL: sum(one.pss.values())}


# What is judged, and what it may have a twentieth more of. The PSS of a process grows when another ends that
# shares memory with it: each is judged by its RSS, of which it may have no more for that.
_JUDGED: Final[tuple[tuple[str, _Of, _Of, float], ...]] = (
    ("kB of memory", lambda one: one.rss, lambda one: one.pss, _LITTLE_KB),
    ("kB of PSS", _whole, _whole, _LITTLE_KB),
    ("open files", lambda one: one.files, lambda one: one.files, _FEW),
    ("threads", lambda one: one.threads, lambda one: one.threads, _FEW),
    ("keys", _lasting, _lasting, _FEW),
)


def _or_nothing(of: Callable[[psutil.Process], float], process: psutil.Process) -> float:
    try:
        return of(process)
    except (psutil.Error, OSError):  # it has just ended
        return 0.0


def _kb(process: psutil.Process, what: str) -> float:
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(what):
            return float(line.split()[1])
    return 0.0


def _keys(redis_url: str) -> Amounts:
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(redis_url) as client:
        return Counter(":".join(key.decode().split(":")[:3]) for key in client.scan_iter(count=1000))
    return {}


def _size(home: Path) -> float:
    size = 0
    for path in home.rglob("*"):
        with contextlib.suppress(OSError):
            size += path.lstat().st_size
    return size / 1024

"""How every benchmark tells what it found: a table for people, a file, and one line for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"

Figures = Mapping[str, float]


def report(name: str, figures: Figures, limit: Figures, ratio: float, notes: Sequence[str] = ()) -> None:
    """Print `figures` beside those of the bare loop (`limit`), and keep them in `results/<name>.json`.

    Keys carry their unit (`push_to_applied_p50_ms`) and are the same in both where both have one.
    `ratio` is ours divided by the limit for the figure that counts. `notes` are lines under the table.
    The last line printed is the result as one JSON object.
    """
    table = Table(title=f"Benchmark {name}")
    table.add_column("figure")
    table.add_column("Mooring", justify="right")
    table.add_column("bare loop", justify="right")
    for key in [*figures, *(key for key in limit if key not in figures)]:
        table.add_row(key, _shown(figures.get(key)), _shown(limit.get(key)))
    table.add_section()
    table.add_row("ratio to the bare loop", f"{ratio:.2f}", "1")
    console = Console(width=100)
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)

    result = {"benchmark": name, "figures": dict(figures), "limit": dict(limit), "ratio": round(ratio, 3)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result), flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `values` do not exceed. Raises ValueError when there are none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no measurements")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:,.1f}"

"""Writes what charts/mooring takes from elsewhere: `make chart`. tests/charts says when that is due.

In README.md the table of values, from the comments of values.yaml; in values.schema.json the settings, and
in files/redis.sh the rules of users, from the code; in tests/charts/golden what the chart makes of
tests/charts/values.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from devcluster.build import tool
from mooring.settings import Settings
from mooring.settings_web import settings
from mooring.store.acl import USERS

CHART: Final = Path(__file__).parent / "mooring"
CASES: Final = Path(__file__).parents[1] / "tests/charts/values"
GOLDEN: Final = CASES.with_name("golden")
# No other word of a render looks like it, so whoever wants another namespace can replace it.
NAMESPACE: Final = "mooring-system"
# What the templates set themselves.
_OURS: Final = re.compile(
    r"MOORING_(REDIS_URL|KUBECONFIG|CONTEXT|NAMESPACE|APPS_DIR|STATE_DIR|METRICS_.*|FLOWER_.*)(_FILE)?"
)
_USER: Final = re.compile(r"^(user (mooring\S*) reset on #\$\w+) .*$", re.MULTILINE)
_BLOCK: Final = re.compile(r"(<!-- generated: values -->\n).*?(<!-- end -->)", re.DOTALL)


@cache
def helm() -> str:
    """The program."""
    return str(tool("helm", print))


def render(values: Path, *more: str, release: str = "mooring", namespace: str = NAMESPACE) -> str:
    """What the chart makes of a file of values. Raises CalledProcessError with what helm says."""
    argv = [helm(), "template", release, str(CHART), "--namespace", namespace, "--values", str(values), *more]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def readme(text: str) -> str:
    """charts/mooring/README.md, given as `text`, with its table made anew."""
    lines = ["| Value | Default | Meaning |", "| --- | --- | --- |"]
    for names, doc, defaults in documented((CHART / "values.yaml").read_text(encoding="utf-8")):
        shown = ["" if default in ("", None, [], {}) else f"`{_compact(default)}`" for default in defaults]
        together = shown[:1] if not any(shown) else shown
        cells = "<br>".join(f"`{name}`" for name in names), "<br>".join(together), doc
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    table = "\n".join(lines)
    return _BLOCK.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)


def documented(text: str) -> Iterator[tuple[list[str], str, list[Any]]]:
    """The values of a values.yaml in their order: those that one `# --` comment explains, it, defaults.

    A comment explains the key below it, whole, and those that follow without a comment or a blank line.
    Raises ValueError for a value that no comment explains.
    """
    lines = text.splitlines()
    values = yaml.safe_load(text)
    rows: list[tuple[list[str], str, list[Any]]] = []
    root = yaml.compose(text)
    assert root, "values.yaml is not empty"
    for path, line in _keys(root):
        if doc := _comment(lines, line):
            rows.append(([], doc, []))
        elif isinstance(_at(values, path), dict) and _at(values, path):
            continue  # its own values are explained one by one
        elif any(path.startswith(f"{name}.") for names, _, _ in rows for name in names):
            continue  # explained with what holds it
        elif not (rows and _follows(rows[-1][0][-1], path, lines[line - 1])):
            raise ValueError(f"values.yaml: nothing explains {path}")
        rows[-1][0].append(path)
        rows[-1][2].append(_at(values, path))
    yield from rows


def schema(text: str) -> str:
    """values.schema.json, given as `text`, with the settings that there are."""
    found = json.loads(text)
    engine = [entry.metadata["variable"] for entry in fields(Settings)]
    web = [setting.env for setting, _ in settings()]
    for name, variables in (("settings", engine), ("webSettings", web)):
        kept = {variable: {"type": "string"} for variable in variables if not _OURS.fullmatch(variable)}
        found["$defs"][name] |= {"type": "object", "additionalProperties": False, "properties": kept}
    return json.dumps(found, indent=2) + "\n"


def redis_script(text: str) -> str:
    """charts/mooring/files/redis.sh, given as `text`, with what the users of Redis may do."""
    rules = {user.name: " ".join(user.rules) for user in USERS}
    return _USER.sub(lambda found: f"{found[1]} {rules[found[2]]}", text)


def _keys(node: yaml.Node, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Each key's path and line; keys in flow style belong to the key that holds them."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        for key, value in node.value:
            path = f"{prefix}{key.value}"
            yield path, key.start_mark.line
            yield from _keys(value, f"{path}.")


def _comment(lines: list[str], line: int) -> str:
    """The `# --` comment that ends above a line."""
    words: list[str] = []
    for above in reversed(lines[:line]):
        if not (found := re.match(r"\s*# (--)?\s*(.*)", above)):
            return ""
        words.insert(0, found[2])
        if found[1]:
            return " ".join(words)
    return ""


def _follows(before: str, path: str, above: str) -> bool:
    return before.rpartition(".")[0] == path.rpartition(".")[0] and bool(above.strip())


def _at(values: Mapping[str, Any], path: str) -> Any:
    found: Any = values
    for name in path.split("."):
        found = found[name]
    return found


def _compact(default: Any) -> str:
    return str(default) if isinstance(default, str) else json.dumps(default)


def main() -> None:
    made = {"README.md": readme, "values.schema.json": schema, "files/redis.sh": redis_script}
    for name, make in made.items():
        path = CHART / name
        path.write_text(make(path.read_text(encoding="utf-8")), encoding="utf-8")
    for values in sorted(CASES.glob("*.yaml")):
        (GOLDEN / values.name).write_text(render(values), encoding="utf-8")


if __name__ == "__main__":
    main()

"""compose.yaml and the Dockerfile, as Compose and BuildKit themselves read them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devcluster.build import CONTAINERS, build

ROOT: Final = Path(__file__).parents[2]


class NotPermitted(Exception):
    """What the reader has against the file."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its name, its text, and what it says in the form of BuildKit's own types."""

    name: str
    text: str
    says: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage, and what it begins with: another stage or an image."""

    name: str
    base: str
    steps: tuple[Step, ...]


def project(file: Path = ROOT / "compose.yaml") -> dict[str, Any]:
    """The project of a compose file. Raises NotPermitted."""
    found: dict[str, Any] = _read("compose", file)
    return found


def stages(file: Path = ROOT / "Dockerfile") -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in their order. Raises NotPermitted."""
    return {
        one["Name"]: Stage(
            one["Name"],
            one["Base"],
            tuple(Step(step["Name"].upper(), step["Text"], step["Says"]) for step in one["Steps"]),
        )
        for one in _read("dockerfile", file)
    }


def entrypoint(target: str) -> list[str]:
    """What the image of this target runs, without its default arguments."""
    (found,) = [step.says["CmdLine"] for step in stages()[target].steps if step.name == "ENTRYPOINT"]
    return list(found)


def _read(kind: str, file: Path) -> Any:
    done = subprocess.run(
        [build(CONTAINERS, print), kind, file],
        env={"PATH": "/usr/bin:/bin"},  # no variable of whoever runs the tests gets into the file
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise NotPermitted(done.stderr)
    return json.loads(done.stdout)

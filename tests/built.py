"""Builds whatever programs the tests run, before any test does: it takes minutes, and a test has few.

Run as `python -m tests.built`.
"""

from __future__ import annotations

from typing import Final

from devcluster.build import CONTAINERS, CONTROLPLANE, KWOK, REGISTRY, build, tool

TOOLS: Final = ("helm", "jsonnet", "kustomize")


def main() -> None:
    for program in (CONTROLPLANE, KWOK, REGISTRY, CONTAINERS):
        build(program, print)
    for name in TOOLS:
        tool(name, print)


if __name__ == "__main__":
    main()

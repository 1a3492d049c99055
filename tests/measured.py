"""Commands that tests run are measured as the tests themselves are; what a story leaves running is not."""

from __future__ import annotations

import os


def measured() -> dict[str, str]:
    """The variables that have a child process measured, where this one is; for commands that end."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_PROCESS_")}

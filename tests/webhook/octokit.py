"""GitHub's own published examples of its webhooks, and its own code that signs them, from npm.

They are installed by pinned version into a cache outside the repository, once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

EXAMPLES, METHODS = "7.6.1", "6.0.0"

_SIGN = """
import { createInterface } from "node:readline";
import { sign } from "@octokit/webhooks-methods";
for await (const line of createInterface({ input: process.stdin }))
  console.log(await sign(process.argv[2], JSON.parse(line)));
"""


def available() -> bool:
    """Whether npm and node are here."""
    return bool(shutil.which("npm") and shutil.which("node"))


def directory() -> Path:
    """Where the packages are, installed now if need be. Safe to call from several processes at once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mooring" / "npm"
    place = cache / f"octokit-{EXAMPLES}-{METHODS}"
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=cache))
        (fresh / "package.json").write_text('{"private": true}')
        packages = [f"@octokit/webhooks-examples@{EXAMPLES}", f"@octokit/webhooks-methods@{METHODS}"]
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(["npm", "install", *options, *packages], cwd=fresh, check=True, timeout=240)
        (fresh / "sign.mjs").write_text(_SIGN)
        try:
            fresh.rename(place)
        except OSError:  # another process was faster
            shutil.rmtree(fresh)
    return place


def examples() -> list[tuple[str, dict[str, Any]]]:
    """Each published example with the name of its event, of github.com and of Enterprise Server."""
    package = directory() / "node_modules/@octokit/webhooks-examples"
    found = []
    for edition in sorted(package.glob("*/index.json")):
        for event in json.loads(edition.read_text(encoding="utf-8")):
            found += [(event["name"], example) for example in event["examples"]]
    return found


def sign(secret: str, bodies: list[str]) -> list[str]:
    """The signature of each body, as GitHub's own code makes it."""
    lines = "\n".join(json.dumps(body) for body in bodies)
    argv = ["node", "sign.mjs", secret]
    signed = subprocess.run(argv, cwd=directory(), input=lines, check=True, capture_output=True, text=True)
    return signed.stdout.split()

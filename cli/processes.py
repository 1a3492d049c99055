"""Which processes a Mooring consists of, and what each of them is told.

`counts` is the directory where a group counts what it does (mooring/exporter.py), for who adds it up.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

from cli.supervise import Child
from mooring.exporter import DIRECTORY
from mooring.redis_url import FILE_VARIABLE, VARIABLE
from mooring.settings import Settings
from mooring.settings_flower import PASSWORD
from mooring.settings_web import HOSTS, SECRETS_DIR, secret_variable, settings

POOLS: Final = ("intake", "deploy", "slow", "reconcile")
# -P: whatever lies in the current directory is not imported.
_PYTHON: Final = (sys.executable, "-P", "-m")
MOORING: Final = (*_PYTHON, "cli.main")
_LINES: Final = {"PYTHONUNBUFFERED": "1"}  # lines come when they are written


def web(
    environ: Mapping[str, str],
    redis_url: str,
    host: str,
    port: int,
    count: int,
    *,
    log_format: str = "",
    counts: Path | None = None,
) -> Child:
    """The web tier: faces the network, so it is told its own settings and nothing else."""
    env = {**web_environment(environ), **_LINES, VARIABLE: redis_url, **_counting(counts)}
    env.pop("MOORING_METRICS_ADDRESS", None)  # whoever started it listens there
    if log_format:
        env["MOORING_LOG_FORMAT"] = log_format
    address = ("--host", host, "--port", str(port))
    return Child("web", (*_PYTHON, "webhook", *address, "--processes", str(count)), env)


def workers(environ: Mapping[str, str], settings: Settings, counts: Path | None = None) -> tuple[Child, ...]:
    """One Celery worker a pool."""
    env = engine_environment(environ, settings) | _counting(counts)
    return tuple(Child(pool, (*_PYTHON, "workers.run", pool), env, grows=True) for pool in POOLS)


def beat(environ: Mapping[str, str], settings: Settings, counts: Path | None = None) -> Child:
    """Celery beat."""
    env = engine_environment(environ, settings) | _counting(counts)
    return Child("beat", (*_PYTHON, "workers.beat"), env, grows=True)


def observer(environ: Mapping[str, str], settings: Settings, counts: Path | None = None) -> Child:
    """The observer."""
    env = engine_environment(environ, settings) | _counting(counts)
    return Child("observer", (*_PYTHON, "workers.observer"), env, grows=True)


def flower(environ: Mapping[str, str], settings: Settings, password: str, host: str, port: int) -> Child:
    """Flower: it may send any task, so it is told Redis and its own password, and how to reach neither Git
    nor a cluster."""
    kept = {name: environ[name] for name in ("PATH", "LANG") if name in environ}
    ours = {"MOORING_REDIS_URL": settings.redis_url, "MOORING_LOG_FORMAT": settings.log_format}
    env = {**kept, **_LINES, **ours, PASSWORD: password}
    return Child("flower", (*_PYTHON, "workers.flower", host, str(port)), env)


def web_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environ` that the web tier may know: no kubeconfig, no Git credential, no HOME."""
    allowed = {
        "PATH",
        "LANG",
        SECRETS_DIR,
        *(setting.env for setting, _ in settings()),
        *(secret_variable(host) for host in HOSTS),
    }
    return {name: value for name, value in environ.items() if name in allowed}


def engine_environment(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Everything but the secrets of the web tier and of Flower, which only those need; of our settings, what
    `settings` says of them."""
    others = ("MOORING_WEBHOOK_", "MOORING_FLOWER_")
    ours = {entry.metadata["variable"] for entry in fields(Settings)} | {DIRECTORY, FILE_VARIABLE}
    kept = {
        name: value for name, value in environ.items() if not name.startswith(others) and name not in ours
    }
    return {**kept, **settings.to_env(), **_LINES}


def _counting(counts: Path | None) -> dict[str, str]:
    return {DIRECTORY: str(counts)} if counts else {}

"""What an operator can set for workers, beat and CLI: environment variables, read once, then frozen.

The web tier has settings of its own (settings_web.py), so that it cannot even read these.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mooring.errors import Refused
from mooring.redis_url import redis_url


def _default_state_dir() -> str:
    """ "" for a user without a home, as an arbitrary uid in a container is: not everybody needs a directory,
    and any that we could choose for him would be shared with strangers."""
    base = os.environ.get("XDG_STATE_HOME")
    try:
        return str(Path(base or Path.home() / ".local/state") / "mooring")
    except RuntimeError:
        return ""


def _set(variable: str, default: Any, doc: str, *, shown: bool = True) -> Any:
    metadata = {"variable": variable, "doc": doc}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata, repr=shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each field is one environment variable; its metadata says which, and what it means."""

    redis_url: str = _set(
        "MOORING_REDIS_URL", "", "Redis, e.g. `redis://:password@host:6379/0`.", shown=False
    )
    kubeconfig: str = _set("MOORING_KUBECONFIG", "", "kubeconfig file; empty: found as kubectl does it.")
    context: str = _set("MOORING_CONTEXT", "", "context of the kubeconfig; empty: its current one.")
    namespace: str = _set("MOORING_NAMESPACE", "mooring", "namespace that holds the Applications.")
    apps_dir: str = _set("MOORING_APPS_DIR", "", "read Applications from YAML files in this directory.")
    cluster_exec: str = _set(
        "MOORING_CLUSTER_EXEC",
        "",
        "programs (as Secrets of clusters name them, separated by commas) that may be run for a cluster's "
        "credential; empty: none.",
    )
    state_dir: str = _set(
        "MOORING_STATE_DIR", _default_state_dir, "directory for Git mirrors, charts and what was rendered."
    )
    git_allow_file: bool = _set("MOORING_GIT_ALLOW_FILE", False, "allow `file://` repositories (`1`).")
    git_timeout_s: float = _set(
        "MOORING_GIT_TIMEOUT",
        90.0,
        "seconds until a Git command, or a fetch of a chart or artifact, is ended.",
    )
    git_known_hosts: str = _set(
        "MOORING_GIT_KNOWN_HOSTS", "", "file with the ssh keys of Git hosts, as OpenSSH's `known_hosts`."
    )
    git_whole_mb: int = _set(
        "MOORING_GIT_WHOLE_MB", 64, "more MiB than this are fetched without the files, until these are read."
    )
    git_max_mb: int = _set(
        "MOORING_GIT_MAX_MB", 2048, "MiB that are fetched from a Git host at once, at most."
    )
    remote_hosts: str = _set(
        "MOORING_REMOTE_HOSTS",
        "",
        "hosts (`host` or `host:port`, separated by commas) that may be fetched from, whoever names them, "
        "although their addresses are not public.",
    )
    kustomize_enable_helm: bool = _set(
        "MOORING_KUSTOMIZE_ENABLE_HELM", False, "inflate the Helm charts that kustomizations name (`1`)."
    )
    git_submodules: bool = _set(
        "MOORING_GIT_SUBMODULES", True, "fetch the submodules that an app reads from; `0`: leave them out."
    )
    plugins_dir: str = _set(
        "MOORING_PLUGINS_DIR",
        "",
        "directory of config management plugins, a directory with `plugin.yaml` each.",
    )
    render_cache_mb: int = _set(
        "MOORING_RENDER_CACHE_MB", 512, "MiB of rendered manifests that are kept on disk, encrypted."
    )
    yaml_duplicate_keys: str = _set(
        "MOORING_YAML_DUPLICATE_KEYS", "warn", "`warn` (the last wins, as kubectl has it) or `error`."
    )
    render_unconfined: bool = _set(
        "MOORING_RENDER_UNCONFINED", False, "run tools even where nothing would confine them (`1`)."
    )
    reconcile_s: float = _set("MOORING_RECONCILE_SECONDS", 180.0, "seconds between full reconciliations.")
    poll_s: float = _set(
        "MOORING_POLL_SECONDS", 180.0, "seconds within which each repository is asked once for lost pushes."
    )
    keep_finished: int = _set(
        "MOORING_KEEP_FINISHED", 10_000, "finished deliveries that are kept to be looked at and replayed."
    )
    metrics_address: str = _set(
        "MOORING_METRICS_ADDRESS", "", "where /metrics and /healthz are, as `0.0.0.0:9090`; empty: nowhere."
    )
    log_format: str = _set(
        "MOORING_LOG_FORMAT", "auto", "`json`, `human`, or `auto`: human on a terminal, JSON elsewhere."
    )
    lease_s: float = _set("MOORING_LEASE_SECONDS", 8.0, "seconds until a dead worker's work is taken over.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Settings from the variables that are set. Raises Refused naming the variable and what is wrong."""
        values: dict[str, Any] = {}
        for entry in fields(cls):
            text = environ.get(entry.metadata["variable"], "")
            if text:
                values[entry.name] = _read(entry.metadata["variable"], str(entry.type), text)
        found = cls(**values | {"redis_url": redis_url(environ)})
        if found.yaml_duplicate_keys not in ("warn", "error"):
            raise Refused("MOORING_YAML_DUPLICATE_KEYS must be `warn` or `error`")
        return found

    def state_directory(self) -> Path:
        """The directory for Git mirrors, and for the data of an embedded Redis. Raises Refused when there is
        none."""
        if not self.state_dir:
            raise Refused(
                "this user has no home directory to keep Git mirrors in: set MOORING_STATE_DIR to a directory"
            )
        return Path(self.state_dir)

    def to_env(self) -> dict[str, str]:
        """The variables that give these settings to a child process."""
        env: dict[str, str] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, bool):
                env[entry.metadata["variable"]] = "1" if value else "0"
            elif value not in ("", None):
                env[entry.metadata["variable"]] = str(value)
        return env


def _read(variable: str, kind: str, text: str) -> str | bool | int | float:
    if kind == "bool":
        if text.lower() in ("1", "true", "yes"):
            return True
        if text.lower() in ("0", "false", "no"):
            return False
        raise Refused(f"{variable} must be 1 or 0, not {text!r}")
    if kind == "int":
        if not text.isdecimal() or len(text) > 9 or int(text) < 1:
            raise Refused(f"{variable} must be a whole number above 0, not {text!r}")
        return int(text)
    if kind == "float":
        try:
            value = float(text)
        except ValueError as error:
            raise Refused(f"{variable} must be a number of seconds, not {text!r}") from error
        if not 0 < value < 1e9:
            raise Refused(f"{variable} must be more than 0")
        return value
    return text

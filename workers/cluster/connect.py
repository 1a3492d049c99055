"""From a kubeconfig, or the pod we run in, to a cluster that can be asked.

Connect after a fork, once per process: connections and exec plugins' credentials are not shared.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from mooring.errors import ClusterRefused
from mooring.keys import IN_CLUSTER, ClusterRef
from workers.cluster.api import Api
from workers.cluster.client import (
    ConfigException,
    Configuration,
    KubeConfigLoader,
    KubeConfigMerger,
    load_incluster_config,
)
from workers.cluster.identity import MOORING, Identity
from workers.cluster.in_memory import InMemory
from workers.cluster.kinds import Discovery
from workers.cluster.transport import Transport

# Of a cluster and a user, either as a path or, with `-data` behind the name, as what is in the file.
# https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
_FILES: Final = ("certificate-authority", "client-certificate", "client-key")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster, connected. `own` is who Mooring itself is there, as the kubeconfig's `as` says."""

    ref: ClusterRef
    transport: Transport
    discovery: Discovery
    own: Identity = MOORING

    def api(self, identity: Identity = MOORING) -> Api:
        """The verbs, in the name of `identity`."""
        return Api(self.ref, self.transport, self.discovery, identity if identity.user else self.own)


def connect(kubeconfig: str | None = None, context: str | None = None) -> Cluster:
    """The cluster of the kubeconfig's context; without arguments, found as kubectl finds it.

    `kubeconfig` is a path, or several joined as in $KUBECONFIG. Without one: $KUBECONFIG,
    ~/.kube/config, then the service account of the pod. Asks the server for its version: raises
    ClusterRefused when file, context or credential are wrong, ClusterUnavailable when nobody answers.
    """
    paths = kubeconfig or os.environ.get("KUBECONFIG") or _default_path()
    if paths:
        loader = _read(paths, context)
        own, load = _acting_as(loader), _from_kubeconfig(paths, context)
    elif context:
        raise ClusterRefused(f"context {context!r} needs a kubeconfig: give --kubeconfig or set KUBECONFIG")
    elif "KUBERNETES_SERVICE_HOST" in os.environ:
        own, load = MOORING, _from_pod
    else:
        raise ClusterRefused("no cluster to connect to: give --kubeconfig, set KUBECONFIG, or run in a pod")
    transport = Transport(load)
    discovery = Discovery(transport, own)
    cluster = Cluster(server_ref(transport.host) if paths else IN_CLUSTER, transport, discovery, own)
    transport.request("GET", "/version", identity=own)
    return cluster


def server_ref(url: str) -> ClusterRef:
    """A server's URL in the one spelling that is compared: lower case, no default port, no last slash."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    default = {"https": 443, "http": 80}.get(parts.scheme)
    port = f":{parts.port}" if parts.port not in (None, default) else ""
    return ClusterRef(f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}")


def _default_path() -> str:
    path = _expanded("~/.kube/config")
    return str(path) if path.is_file() else ""


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # a uid without a home, as containers have
        return Path(path)


def _read(paths: str, context: str | None) -> KubeConfigLoader:
    """The package's loader for one context. A path that is not there is an error, not an empty file."""
    found = [path for path in paths.split(os.pathsep) if path and _expanded(path).is_file()]
    if not found:
        raise ClusterRefused(f"kubeconfig {paths} does not exist: give --kubeconfig or set KUBECONFIG")
    try:
        config = KubeConfigMerger(paths).config
        return KubeConfigLoader(config, active_context=context, config_base_path=None)
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterRefused(f"kubeconfig {paths} cannot be read: {error}") from error
    except (ConfigException, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        names = _contexts(paths)
        if context and names and context not in names:
            raise ClusterRefused(
                f"kubeconfig {paths} has no context {context!r}: choose one of {', '.join(names)}"
            ) from error
        # Not the parser's own words: they quote the file, and the file holds credentials.
        raise ClusterRefused(
            f"kubeconfig {paths} is not complete: `kubectl config view` shows what it holds"
        ) from error


def _contexts(paths: str) -> list[str]:
    try:
        config: Any = KubeConfigMerger(paths).config.value
        return [str(entry["name"]) for entry in config.get("contexts") or ()]
    except (ConfigException, yaml.YAMLError, TypeError, KeyError, AttributeError):
        return []


def _acting_as(loader: KubeConfigLoader) -> Identity:
    """The kubeconfig's `as` and `as-groups`, which the package passes over."""
    # Passed over, they would give us more rights than were meant.
    user = loader._user.value if loader._user else {}
    if user.get("as-uid") or user.get("as-user-extra"):
        raise ClusterRefused(
            "the kubeconfig's user has as-uid or as-user-extra, which Mooring cannot obey: use `as`"
        )
    return Identity(user.get("as") or "", tuple(user.get("as-groups") or ()))


def _from_kubeconfig(paths: str, context: str | None) -> Callable[[], Configuration]:
    def load() -> Configuration:
        loader = _read(paths, context)
        configuration = Configuration()
        try:
            # They are there as long as whoever may read them.
            configuration.mooring_files = _kept_off_disk(loader)
            loader.load_and_set(configuration)
        except (ConfigException, OSError, ValueError, TypeError) as error:
            raise ClusterRefused(
                f"kubeconfig {paths} names a certificate, key or token that cannot be read: {error}"
            ) from error
        if loader._user and "exec" in loader._user and not (configuration.api_key or configuration.cert_file):
            command = loader._user["exec"].value.get("command")
            raise ClusterRefused(
                f"the kubeconfig's exec plugin {command!r} gave no credential: run it by hand"
            )
        return configuration

    return load


def _kept_off_disk(loader: KubeConfigLoader) -> list[InMemory]:
    """What the kubeconfig holds of certificates and keys, as files in memory that `loader` is told of.

    The package itself writes them to temporary files, which a process that is killed leaves behind. So do
    we where the system has no files in memory. Raises ValueError for what is not base64.
    """
    files: list[InMemory] = []
    if not hasattr(os, "memfd_create"):
        return files
    for node in (loader._cluster, loader._user):
        said = node.value if node else None
        if not isinstance(said, dict):
            continue
        for name in _FILES:
            if data := said.pop(f"{name}-data", None):
                files.append(InMemory(base64.b64decode(data)))
                said[name] = files[-1].path
    return files


def _from_pod() -> Configuration:
    configuration = Configuration()
    try:
        load_incluster_config(configuration)
    except (ConfigException, OSError) as error:
        raise ClusterRefused(f"the pod's service account cannot be used: {error}") from error
    return configuration

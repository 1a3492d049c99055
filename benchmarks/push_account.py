"""An account of the cluster for what is measured, whose requests the API server itself counts by verb.

Its flow control sorts requests into FlowSchemas by who asks and what for, and counts what it lets pass.
https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.cluster import Cluster, ask

VERBS = ("get", "list", "create", "patch", "update", "delete")
_ACCOUNT = "mooring"
_FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
_COUNTED = re.compile(
    r'^apiserver_flowcontrol_dispatched_requests_total\{flow_schema="([^"]+)",[^}]*\} (\S+)$', re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Account:
    """A service account that may do everything, and the kubeconfig that acts as it."""

    cluster: Cluster
    name: str
    kubeconfig: Path

    def requests(self) -> Counter[str]:
        """How many requests of each verb the API server has let pass for the account, ever; those in the
        namespace that is counted apart have `objects-` before their verb."""
        metrics = ask(self.cluster, "/metrics").decode()
        found: Counter[str] = Counter()
        for schema, count in _COUNTED.findall(metrics):
            if schema.startswith(f"{self.name}-"):
                found[schema.removeprefix(f"{self.name}-")] += int(float(count))
        return found


@contextmanager
def account(cluster: Cluster, namespace: str, directory: Path, apart: str = "") -> Iterator[Account]:
    """A new account in `namespace`, with its kubeconfig in `directory`; gone with the block. What it asks for
    in the namespace `apart` is counted apart."""
    name = f"bench-{namespace}"
    subject = {"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": namespace}
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    ask(cluster, accounts, {"metadata": {"name": _ACCOUNT}})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    made = [f"{_BINDINGS}/{name}"]
    ask(cluster, _BINDINGS, {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})
    try:
        for verb in VERBS:
            ask(cluster, _FLOWS, _flow(f"{name}-{verb}", verb, namespace))
            made.append(f"{_FLOWS}/{name}-{verb}")
            if apart:
                ask(cluster, _FLOWS, _flow(f"{name}-objects-{verb}", verb, namespace, apart))
                made.append(f"{_FLOWS}/{name}-objects-{verb}")
        token = ask(cluster, f"{accounts}/{_ACCOUNT}/token", {"spec": {"expirationSeconds": 86400}})
        kubeconfig = directory / "kubeconfig"
        kubeconfig.touch(0o600)
        kubeconfig.write_text(json.dumps(_kubeconfig(cluster, token["status"]["token"])))
        yield Account(cluster, name, kubeconfig)
    finally:
        for path in made:
            ask(cluster, path, method="DELETE")


def _flow(name: str, verb: str, namespace: str, apart: str = "") -> dict[str, Any]:
    rules: dict[str, Any] = {
        "subjects": [
            {"kind": "ServiceAccount", "serviceAccount": {"name": _ACCOUNT, "namespace": namespace}}
        ],
        "resourceRules": [
            {
                "verbs": [verb],
                "apiGroups": ["*"],
                "resources": ["*"],
                "namespaces": [apart or "*"],
                "clusterScope": not apart,
            }
        ],
    }
    if verb == "get" and not apart:
        rules["nonResourceRules"] = [{"verbs": ["get"], "nonResourceURLs": ["*"]}]
    return {
        "metadata": {"name": name},
        "spec": {
            "priorityLevelConfiguration": {"name": "workload-high"},
            "matchingPrecedence": 999 if apart else 1000,
            "rules": [rules],
        },
    }


def _kubeconfig(cluster: Cluster, token: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [
            {
                "name": "bench",
                "cluster": {"server": cluster.server, "certificate-authority": str(cluster.ca)},
            }
        ],
        "users": [{"name": "bench", "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }

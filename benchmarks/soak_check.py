"""Whether a cluster is as Git has it, by nothing of ours: Git is read with `git`, the cluster with GETs."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from devcluster.cluster import Cluster, ask
from devcluster.gitserver import Repository

PATHS: Final = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Service": "/api/v1/namespaces/{}/services",
}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Key = tuple[str, str, str]  # namespace, kind, name


@dataclass(frozen=True, slots=True)
class Expected:
    """`apps` names those that are there, with the namespace of each; `foreign` has the identities of
    objects that are nobody's. What else is in `namespaces` is to be gone."""

    repo: Repository
    apps: Mapping[str, str]
    namespaces: frozenset[str]
    foreign: Mapping[Key, str]


def differences(cluster: Cluster, expected: Expected) -> list[str]:
    """A line for each field that Git sets and that is not live so, each object that is missing, each that is
    left over, and each that was nobody's and is not as it was."""
    live = {
        (namespace, kind, one["metadata"]["name"]): one
        for namespace in expected.namespaces
        for kind, path in PATHS.items()
        for one in _listed(cluster, path.format(namespace))
        if not one["metadata"].get("ownerReferences") and one["metadata"]["name"] != "kube-root-ca.crt"
    }
    found: list[str] = []
    wanted = dict(_wanted(expected))
    for key, body in wanted.items():
        there = live.get(key)
        title = "/".join(key)
        if there is None:
            found.append(f"{title}: is not there")
            continue
        # A list says once what kind its items are.
        fields = {name: value for name, value in body.items() if name not in ("apiVersion", "kind")}
        found += [f"{title}: {line}" for line in _unlike(fields, there, "")]
    for key, was in expected.foreign.items():
        there = live.get(key)
        if there is None or identity(there) != was:
            found.append(f"{'/'.join(key)}: was nobody's, and was deleted or written")
    found += [f"{'/'.join(key)}: is left over" for key in live if key not in {*wanted, *expected.foreign}]
    return found


def _listed(cluster: Cluster, path: str) -> list[Any]:
    answer = ask(cluster, path)
    assert answer["kind"].endswith("List") and "continue" not in answer["metadata"], path
    return list(answer["items"])


def _wanted(expected: Expected) -> Iterator[tuple[Key, Any]]:
    """Every object of every app that is there, as Git's newest commit has it."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", "main"], cwd=expected.repo.path, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for member in tar:
            app, _, name = member.name.partition("/")
            if app in expected.apps and name.endswith(".yaml") and (file := tar.extractfile(member)):
                body = yaml.load(file.read(), Loader=_LOADER)
                yield (expected.apps[app], body["kind"], body["metadata"]["name"]), body


def _unlike(wanted: Any, live: Any, path: str) -> Iterator[str]:
    """The fields of `wanted` that `live` does not have, or has otherwise."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        for name, value in wanted.items():
            yield from _unlike(value, live.get(name), f"{path}.{name}")
    elif isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        for number, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from _unlike(one, other, f"{path}[{number}]")
    elif wanted != live:
        yield f"{path} is {live!r} and not {wanted!r}"


def identity(live: Any) -> str:
    """Of an object that nobody has deleted or written since."""
    return f"{live['metadata']['uid']} {live['metadata']['resourceVersion']}"

"""What is deployed in the benchmarks of pushes: Applications of a few objects each in one repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.error import HTTPError

from benchmarks.processes import until
from devcluster.cluster import Cluster, ask
from devcluster.gitserver import Repository
from mooring.model.crd import crds

APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/{}/applications"
CONFIG_MAPS = 8
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def app_name(number: int) -> str:
    """`app-00`: also the directory of its manifests."""
    return f"app-{number:02}"


def changed(number: int, value: str) -> dict[str, str]:
    """The one file of an application that each push changes."""
    return {f"{app_name(number)}/settings-0.yaml": _config_map(number, 0, value)}


def files(number: int) -> dict[str, str]:
    """All manifests of an application, one a file: eight ConfigMaps, a Deployment and a Service."""
    app = app_name(number)
    found = {f"{app}/settings-{n}.yaml": _config_map(number, n, "first") for n in range(CONFIG_MAPS)}
    found[f"{app}/deployment.yaml"] = _DEPLOYMENT.format(app=app)
    found[f"{app}/service.yaml"] = _SERVICE.format(app=app)
    return found


def overlay(number: int, base: str, value: str = "first") -> dict[str, str]:
    """The files of an application that is a Kustomize overlay: a ConfigMap of its own, and `base`."""
    app = app_name(number)
    return {
        f"{app}/kustomization.yaml": _OVERLAY.format(app=app, base=base),
        f"{app}/settings-0.yaml": _CONFIG_MAP.format(app="own", n=0, value=value),
    }


def base(name: str, value: str = "first") -> dict[str, str]:
    """A base that overlays share: two ConfigMaps, the first of which has `value`."""
    return {
        f"bases/{name}/kustomization.yaml": _BASE,
        f"bases/{name}/settings-1.yaml": _CONFIG_MAP.format(app=name, n=1, value=value),
        f"bases/{name}/settings-2.yaml": _CONFIG_MAP.format(app=name, n=2, value="first"),
    }


def application(number: int, home: str, namespace: str, repo: Repository) -> dict[str, Any]:
    """The Application: automated, with prune and self-heal, as most are."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": app_name(number), "namespace": home},
        "spec": {
            "project": "default",
            "source": {"repoURL": repo.url, "path": app_name(number), "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
        },
    }


@contextmanager
def namespace(cluster: Cluster, name: str) -> Iterator[str]:
    """A namespace that is deleted in the end; its objects go in the background."""
    ask(cluster, "/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        yield name
    finally:
        ask(cluster, f"/api/v1/namespaces/{name}", method="DELETE")


def install_crds(cluster: Cluster) -> None:
    """The kinds Application and AppProject, unless the cluster has them."""
    for crd in crds():
        with suppress(HTTPError):
            ask(cluster, _CRDS, crd)

    def served() -> bool:
        with suppress(HTTPError):
            for plural in ("applications", "appprojects"):
                ask(cluster, f"/apis/argoproj.io/v1alpha1/{plural}")
            return True
        return False

    until(served, "the cluster does not serve Applications although their CRD is there")


def _config_map(number: int, n: int, value: str) -> str:
    return _CONFIG_MAP.format(app=app_name(number), n=n, value=value)


_CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {app}-settings-{n}
  labels:
    app.kubernetes.io/name: {app}
data:
  value: "{value}"
  application.properties: |
    server.port=8080
    database.url=postgres://database.{app}.svc:5432/{app}
    cache.ttl.seconds=300
    feature.new-checkout=false
"""

_OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namePrefix: {app}-
resources:
  - ../bases/{base}
  - settings-0.yaml
"""

_BASE = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - settings-1.yaml
  - settings-2.yaml
"""

_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {app}
  labels:
    app.kubernetes.io/name: {app}
spec:
  replicas: 1
  selector:
    matchLabels:
      app.kubernetes.io/name: {app}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {app}
    spec:
      containers:
        - name: server
          image: registry.example.com/{app}:1.0.0
          ports:
            - name: http
              containerPort: 8080
          envFrom:
            - configMapRef:
                name: {app}-settings-0
          resources:
            requests:
              cpu: 10m
              memory: 16Mi
"""

_SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: {app}
  labels:
    app.kubernetes.io/name: {app}
spec:
  selector:
    app.kubernetes.io/name: {app}
  ports:
    - name: http
      port: 80
      targetPort: http
"""

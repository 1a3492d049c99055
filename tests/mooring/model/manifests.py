"""Manifests as people write them, one of which says everything that can be said."""

from __future__ import annotations

from typing import Any

import yaml

SHOP: dict[str, Any] = yaml.safe_load("""
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: shop
  namespace: mooring
  annotations:
    argocd.argoproj.io/manifest-generate-paths: .
    link.argocd.argoproj.io/runbook: https://wiki.example.org/shop
spec:
  project: default
  source:
    repoURL: https://git.example.org/acme/deploy.git
    targetRevision: main
    path: shop/production
    directory: {recurse: true, include: '*.yaml', exclude: 'test/*'}
  destination:
    server: https://kubernetes.default.svc
    namespace: shop
  syncPolicy:
    automated: {prune: true, selfHeal: true}
    syncOptions: [CreateNamespace=true, ServerSideApply=true, Prune=confirm]
    retry:
      limit: 5
      backoff: {duration: 5s, factor: 2, maxDuration: 3m}
  revisionHistoryLimit: 3
  info: [{name: owner, value: team-shop}]
""")

_SOURCE = """
repoURL: https://charts.example.org
chart: shop
path: charts/shop
targetRevision: 1.*
ref: values
name: chart
helm:
  valueFiles: [values.yaml]
  parameters: [{name: image.tag, value: "1", forceString: true}]
  fileParameters: [{name: config, path: config.json}]
  releaseName: shop
  values: "a: 1"
  valuesObject: {replicas: 2, nested: {any: [1, "two", {three: true}]}}
  version: v3
  passCredentials: true
  ignoreMissingValueFiles: true
  skipCrds: true
  skipTests: true
  skipSchemaValidation: true
  namespace: shop
  kubeVersion: "1.33"
  apiVersions: [monitoring.coreos.com/v1]
kustomize:
  namePrefix: a-
  nameSuffix: -b
  images: [web=registry/web:1]
  commonLabels: {team: shop}
  commonAnnotations: {owner: shop}
  commonAnnotationsEnvsubst: true
  forceCommonLabels: true
  forceCommonAnnotations: true
  labelWithoutSelector: true
  labelIncludeTemplates: true
  ignoreMissingComponents: true
  namespace: shop
  version: v5
  kubeVersion: "1.33"
  apiVersions: [v1]
  components: [../component]
  replicas: [{name: web, count: 3}, {name: api, count: "2"}]
  patches:
  - path: patch.yaml
    patch: "- op: remove"
    options: {allowNameChange: true}
    target: {group: apps, version: v1, kind: Deployment, name: web, namespace: shop,
             labelSelector: a=b, annotationSelector: c=d}
directory:
  recurse: true
  include: '*.yaml'
  exclude: test/*
  jsonnet:
    extVars: [{name: a, value: b, code: true}]
    tlas: [{name: c, value: d}]
    libs: [vendor]
plugin:
  name: cue
  env: [{name: A, value: b}]
  parameters: [{name: s, string: x}, {name: m, map: {a: b}}, {name: l, array: [a, b]}]
"""

_source = yaml.safe_load(_SOURCE)
_operation = {
    "initiatedBy": {"username": "ada", "automated": True},
    "info": [{"name": "reason", "value": "release"}],
    "retry": {"limit": -1, "refresh": True, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "3m"}},
    "sync": {
        "revision": "1.2.3",
        "revisions": ["a", "b"],
        "prune": True,
        "dryRun": True,
        "syncStrategy": {"apply": {"force": True}, "hook": {"force": True}},
        "resources": [{"group": "apps", "kind": "Deployment", "name": "web", "namespace": "shop"}],
        "source": _source,
        "sources": [_source],
        "manifests": ["{}"],
        "syncOptions": ["Replace=true"],
        "autoHealAttemptsCount": 2,
    },
}
_hydrator = {
    "drySource": {"repoURL": "https://git.example.org/a", "targetRevision": "HEAD", "path": "."},
    "syncSource": {"targetBranch": "env/prod", "path": "shop"},
    "hydrateTo": {"targetBranch": "env/next"},
}
_ignored = {
    "group": "apps",
    "kind": "Deployment",
    "name": "web",
    "namespace": "shop",
    "jsonPointers": ["/spec/replicas"],
    "jqPathExpressions": [".spec.template"],
    "managedFieldsManagers": ["hpa"],
}
_AT = "2026-01-02T03:04:05Z"

EVERYTHING: dict[str, Any] = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {"name": "everything", "namespace": "mooring", "labels": {"a": "b"}},
    "spec": {
        "project": "shop",
        "source": _source,
        "sources": [_source, {"repoURL": "https://git.example.org/b"}],
        "sourceHydrator": _hydrator,
        "destination": {"server": "https://elsewhere", "name": "other", "namespace": "shop"},
        "ignoreDifferences": [_ignored],
        "info": [{"name": "owner", "value": "shop"}],
        "revisionHistoryLimit": 3,
        "syncPolicy": {
            "automated": {"enabled": False, "prune": True, "selfHeal": True, "allowEmpty": True},
            "syncOptions": ["CreateNamespace=true"],
            "retry": {"limit": 2, "refresh": True, "backoff": {"duration": "5s", "factor": 2}},
            "managedNamespaceMetadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        },
    },
    "operation": _operation,
    "status": {
        "sync": {
            "status": "Synced",
            "revision": "abc",
            "revisions": ["abc"],
            "comparedTo": {
                "source": _source,
                "sources": [_source],
                "destination": {"server": "https://elsewhere", "namespace": "shop"},
                "ignoreDifferences": [_ignored],
            },
        },
        "health": {"status": "Healthy", "message": "fine", "lastTransitionTime": _AT},
        "resources": [
            {
                "group": "apps",
                "version": "v1",
                "kind": "Deployment",
                "namespace": "shop",
                "name": "web",
                "status": "Synced",
                "health": {"status": "Progressing", "message": "soon"},
                "hook": True,
                "requiresPruning": True,
                "requiresDeletionConfirmation": True,
                "syncWave": -1,
            }
        ],
        "history": [
            {
                "id": 1,
                "revision": "abc",
                "revisions": ["abc"],
                "deployedAt": _AT,
                "deployStartedAt": _AT,
                "source": _source,
                "sources": [_source],
                "initiatedBy": {"automated": True},
            }
        ],
        "conditions": [{"type": "SyncError", "message": "no", "lastTransitionTime": _AT}],
        "reconciledAt": _AT,
        "observedAt": _AT,
        "operationState": {
            "operation": _operation,
            "phase": "Succeeded",
            "message": "done",
            "startedAt": _AT,
            "finishedAt": _AT,
            "retryCount": 1,
            "syncResult": {
                "revision": "abc",
                "revisions": ["abc"],
                "source": _source,
                "sources": [_source],
                "managedNamespaceMetadata": {"labels": {"a": "b"}},
                "resources": [
                    {
                        "group": "",
                        "version": "v1",
                        "kind": "Pod",
                        "namespace": "",
                        "name": "migrate",
                        "status": "Synced",
                        "message": "created",
                        "hookType": "PreSync",
                        "hookPhase": "Succeeded",
                        "syncPhase": "PreSync",
                        "images": ["registry/migrate:1"],
                    }
                ],
            },
        },
        "sourceType": "Directory",
        "sourceTypes": ["Directory"],
        "summary": {"images": ["registry/web:1"], "externalURLs": ["https://shop.example.org"]},
        "resourceHealthSource": "appTree",
        "controllerNamespace": "mooring",
        "sourceHydrator": {
            "lastSuccessfulOperation": {"drySHA": "a", "hydratedSHA": "b", "sourceHydrator": _hydrator},
            "currentOperation": {
                "phase": "Hydrated",
                "message": "done",
                "startedAt": _AT,
                "finishedAt": _AT,
                "drySHA": "a",
                "hydratedSHA": "b",
                "sourceHydrator": _hydrator,
            },
        },
    },
}

PROJECT: dict[str, Any] = yaml.safe_load("""
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: shop, namespace: mooring}
spec:
  description: The shop
  sourceRepos: ['https://git.example.org/acme/*', '!https://git.example.org/acme/secret']
  destinations:
  - {server: https://kubernetes.default.svc, name: in-cluster, namespace: 'shop-*'}
  - {server: '*', namespace: '!kube-system'}
  clusterResourceWhitelist: [{group: '', kind: Namespace, name: 'shop-*'}]
  clusterResourceBlacklist: [{group: rbac.authorization.k8s.io, kind: '*'}]
  namespaceResourceBlacklist: [{group: '', kind: ResourceQuota}]
  namespaceResourceWhitelist: [{group: '*', kind: '*'}]
  orphanedResources: {warn: true, ignore: [{kind: ConfigMap, name: kube-root-ca.crt}]}
  roles:
  - name: deployer
    description: may sync
    policies: ['p, proj:shop:deployer, applications, sync, shop/*, allow']
    groups: [shop-team]
    jwtTokens: [{iat: 1535390316, exp: 1535390317, id: a}]
  syncWindows:
  - {kind: deny, schedule: '0 0 * * *', duration: 1h, applications: ['*'], namespaces: ['*'], clusters: ['*'],
     manualSync: true, timeZone: UTC, andOperator: true, description: night, syncOverrun: true}
  signatureKeys: [{keyID: 4AEE18F83AFDEB23}]
  sourceNamespaces: ['team-*']
  permitOnlyProjectScopedClusters: true
  destinationServiceAccounts:
  - {server: '*', namespace: shop, defaultServiceAccount: deployer}
status:
  jwtTokensByRole: {deployer: {items: [{iat: 1535390316, exp: 1535390317, id: a}]}}
""")

{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: (import 'lib.libsonnet').name } }

local missing = import 'not-here.libsonnet';
{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'lazy' }, data: { x: if false then missing.x else 'fine' } }

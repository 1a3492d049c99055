{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' },
  data: { x: importstr '/etc/passwd' } }

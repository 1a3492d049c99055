function(image, ports) {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', annotations: { region: std.extVar('region'), whose: std.extVar('whose') } },
  spec: {
    replicas: std.extVar('replicas'),
    selector: { matchLabels: std.extVar('shared').labels },
    template: {
      metadata: { labels: std.extVar('shared').labels },
      spec: { containers: [{ name: 'web', image: image, ports: [{ containerPort: port } for port in ports] }] },
    },
  },
}

import 'link.libsonnet'

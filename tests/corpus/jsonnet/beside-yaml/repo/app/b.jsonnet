(import '../common.libsonnet')('b')

(import '../../common.libsonnet')('deep')

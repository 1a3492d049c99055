// The third line says what is not there.

(import 'nope.libsonnet') + {}

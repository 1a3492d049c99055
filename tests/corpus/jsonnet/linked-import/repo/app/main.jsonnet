(import 'linked/names.libsonnet') + { data: { text: importstr 'linked.txt' } }

// Beside this one; its `../` stays inside of the repository.
[(import 'one.libsonnet')(import '../../shared/labels.json')]

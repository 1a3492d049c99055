local config(name) = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: name } };
[
  config('one'),
  { apiVersion: 'v1', kind: 'List', items: [config('two'), config('three')] },
  if std.length('x') > 1 then config('never'),
  { apiVersion: 'v1', kind: 'ConfigMapList', items: [{ metadata: { name: 'four' }, data: { n: '4' } }] },
]

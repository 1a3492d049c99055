local k = import 'k.libsonnet';  # vendor
local names = import 'names.libsonnet';  # in lib and in vendor: lib's
local parts = import './parts/all.libsonnet';
[
  k.config(names.main, { greeting: importstr 'text/hello.txt' }),
  k.config('bytes', { sum: '%d' % std.foldl(function(a, b) a + b, importbin 'parts/blob.bin', 0) }),
] + parts

local k = import "k.libsonnet";
local deep = import @"deep/er.libsonnet" /* of the app's own directory */;
function(labels) k.config('one', {}) + { metadata+: { labels: labels, annotations: deep } }

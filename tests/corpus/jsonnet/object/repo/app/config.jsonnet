// A ConfigMap whose texts hold what evaluators differ in.
local settings = { ratio: 1.42, big: 1e21, small: 5e-324, whole: 3.0, on: true, none: null };
{
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'config' },
  data: {
    'settings.yaml': std.manifestYamlDoc(settings, quote_keys=false),
    'settings.json': std.manifestJsonEx(settings, '  '),
    chomped: |||-
      one line, and nothing behind it
    |||,
    kept: |||
      import 'not/an/import'

      "quotes" and \n as they are
    |||,
    digest: std.sha256('x'),
    trimmed: std.trim('  x '),
    unicode: 'grün \u2693 \ud83d\ude00',
    verbatim: @'c:\new ''folder''',
  },
}

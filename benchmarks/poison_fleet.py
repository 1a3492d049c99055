"""What the poison benchmark deploys: good Applications, and ten that cost what they may and give nothing.

All of these are sources that somebody may push, by mistake or on purpose.
"""

from __future__ import annotations

from typing import Any

from benchmarks import push_fleet as fleet
from devcluster.gitserver import Repository

_CHART = "apiVersion: v2\nname: {}\nversion: 1.0.0\n"
_HELM, _KUSTOMIZE = 7, 8  # which of ten applications is a chart, and which an overlay


def good(number: int) -> dict[str, str]:
    """All files of a good application: of ten, eight are plain directories, one a chart, one an overlay."""
    app, first = fleet.app_name(number), changed(number, "first")
    if number % 10 == _HELM:
        return {f"{app}/Chart.yaml": _CHART.format(app), f"{app}/templates/map.yaml": _TEMPLATE, **first}
    if number % 10 == _KUSTOMIZE:
        return {f"{app}/kustomization.yaml": "resources: [settings-0.yaml]\n", **first}
    return {path: text for path, text in fleet.files(number).items() if "/settings-" in path} | first


def changed(number: int, value: str) -> dict[str, str]:
    """The one file of a good application that each push changes."""
    if number % 10 == _HELM:
        return {f"{fleet.app_name(number)}/values.yaml": f"value: {value}\n"}
    return fleet.changed(number, value)


def poisons(hanging: str) -> dict[str, dict[str, str]]:
    """The files of each poisonous source by its name; `hanging`: the URL of a Git host that never answers."""
    nine = "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    return {
        "helm-loop": _chart('{{ range until 100000 }}{{ range until 100000 }}{{ "" }}{{ end }}{{ end }}'),
        "helm-memory": _chart("{{ range until 2000000000 }}{{ end }}"),
        "helm-output": _chart(f"{{{{ range until 10000000 }}}}# {'x' * 200}\n{{{{ end }}}}"),
        "jsonnet-loop": {
            "a.jsonnet": "local r = std.range(1, 1000), over(f) = std.foldl(function(n, i) n + f(i), r, 0); "
            "over(function(a) over(function(b) over(function(c) a + b + c)))"
        },
        "jsonnet-memory": {"a.jsonnet": "std.length(std.makeArray(1000000000, function(i) [i, i, i]))"},
        "yaml-aliases": {"a.yaml": f"a: &a [{','.join('x' * 9)}]\n{nine}apiVersion: v1\n"},
        "yaml-large": {"a.yaml": "apiVersion: v1\n" + f"# {'x' * 97}\n" * 110_000},
        "yaml-stream": {"a.yaml": "---\na: 1\n" * 1_000_000},
        "yaml-value": {
            "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: poison}\ndata:\n"
            + "".join(f'  k{n}: "v"\n' for n in range(300_000))
        },
        "kustomize-hangs": {
            "kustomization.yaml": f"resources: [b.yaml, {hanging}//base?ref=main]\n",
            "b.yaml": "",
        },
    }


def again(name: str, value: str) -> dict[str, str]:
    """The file that makes a poisonous source another one, as poisonous as before."""
    match name.partition("-")[0]:
        case "helm":
            return {"values.yaml": f"value: {value}\n"}
        case "jsonnet":
            return {"b.jsonnet": f"'{value}'"}
    return {"b.yaml": f"# {value}\n"}


def application(name: str, home: str, namespace: str, repo: Repository) -> dict[str, Any]:
    """The Application of a poisonous source, at the root of its repository."""
    made = fleet.application(0, home, namespace, repo)
    made["metadata"]["name"] = name
    made["spec"]["source"]["path"] = "."
    return made


def _chart(template: str) -> dict[str, str]:
    return {"Chart.yaml": _CHART.format("poison"), "templates/a.yaml": template + "\n"}


_TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-settings
data:
  value: {{ .Values.value | quote }}
"""

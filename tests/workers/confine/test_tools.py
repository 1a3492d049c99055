"""The real tools work under it, and are held by it."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from devcluster.build import tool
from tests.workers.confine.conftest import ROOMY, Prison
from workers.confine.run import Bounds, Command, Output, ToolFailed, ToolTimedOut, ToolTooBig, run

_CHART = {
    "Chart.yaml": "apiVersion: v2\nname: ship\nversion: 1.0.0\n",
    "values.yaml": "cargo: rum\n",
    "templates/hold.yaml": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n"
        "data:\n  cargo: {{ .Values.cargo }}\n"
    ),
}
_OVERLAY = {
    "base/kustomization.yaml": "resources: [hold.yaml]\n",
    "base/hold.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hold\ndata:\n  cargo: rum\n",
    "overlay/kustomization.yaml": "resources: [../base]\nnamePrefix: my-\n",
}


def _lay(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _helm(prison: Prison, *arguments: str, within: Bounds = ROOMY) -> Output:
    command = Command((str(tool("helm", print)), *arguments), prison.directory)
    return run(command, within)


def test_helm_renders(prison: Prison) -> None:
    _lay(prison.directory / "chart", _CHART)
    done = _helm(prison, "template", "mine", "chart")
    assert b"name: mine\ndata:\n  cargo: rum" in done.stdout


def test_kustomize_builds(prison: Prison) -> None:
    _lay(prison.directory, _OVERLAY)
    done = run(Command((str(tool("kustomize", print)), "build", "overlay"), prison.directory), ROOMY)
    assert b"name: my-hold" in done.stdout


def test_kustomize_calls_helm_where_that_is_wanted(prison: Prison, tmp_path: Path) -> None:
    helm, asked = tool("helm", print), tmp_path / "helm"
    # Kustomize asks for the version as Helm 3 was asked.
    asked.write_text(f'#!/bin/sh\n[ "$1" = version ] && echo v3.20.0 || exec {helm} "$@"\n')
    asked.chmod(0o755)
    _lay(prison.directory / "charts/ship", _CHART)
    chart = "helmCharts:\n- name: ship\n  releaseName: mine\nhelmGlobals:\n  chartHome: charts\n"
    _lay(prison.directory, {"kustomization.yaml": chart})
    argv = (str(tool("kustomize", print)), "build", "--enable-helm", "--helm-command", str(asked))
    done = run(Command(argv, prison.directory, readable=(helm, asked)), ROOMY)
    assert b"cargo: rum" in done.stdout


def test_many_goroutines_fit_into_its_bounds(prison: Prison) -> None:
    _lay(prison.directory / "chart", _CHART)
    outputs: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: outputs.append(_helm(prison, "template", "chart").stdout))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outputs) == 4
    assert len(set(outputs)) == 1


def test_helm_reads_no_file_of_the_machine(prison: Prison) -> None:
    _lay(prison.directory / "chart", _CHART)
    for path in ("/etc/shadow", f"/proc/{os.getpid()}/environ"):
        with pytest.raises(ToolFailed, match="permission denied"):
            _helm(prison, "template", "chart", "--values", path)
    (prison.directory / "chart" / "values.yaml").unlink()
    (prison.directory / "chart" / "values.yaml").symlink_to("/etc/shadow")
    with pytest.raises(ToolFailed, match="permission denied"):
        _helm(prison, "template", "chart")


def test_helm_reaches_no_host(prison: Prison) -> None:
    with pytest.raises(ToolFailed, match=r"operation not permitted|permission denied"):
        _helm(prison, "template", "oci://127.0.0.1:9/chart")


def test_a_template_without_end_is_ended(prison: Prison) -> None:
    loop = '{{ range until 100000000 }}{{ $_ := regexMatch "a*" (repeat 9999 "a") }}{{ end }}'
    _lay(prison.directory / "chart", {**_CHART, "templates/loop.yaml": loop})
    with pytest.raises((ToolTimedOut, ToolTooBig)):
        _helm(prison, "template", "chart", within=replace(ROOMY, seconds=3.0))


def test_a_template_that_wants_all_memory_is_ended(prison: Prison) -> None:
    # Doubled 40 times, a rune would fill a terabyte.
    hog = '{{ $x := "0123456789abcdef" }}' + "{{ $x = cat $x $x }}" * 36 + "{{ len $x }}"
    _lay(prison.directory / "chart", {**_CHART, "templates/hog.yaml": hog})
    with pytest.raises((ToolTooBig, ToolFailed), match="memory"):
        _helm(prison, "template", "chart", within=replace(ROOMY, memory_bytes=256 << 20))


def test_a_schema_that_reads_what_never_ends_is_refused(prison: Prison) -> None:
    schema = '{"$ref": "file:///dev/zero"}'
    _lay(prison.directory / "chart", {**_CHART, "values.schema.json": schema})
    with pytest.raises(ToolFailed):
        _helm(prison, "template", "chart", within=replace(ROOMY, seconds=20.0))

"""The proof that YAML is read as kubectl reads it: the same files, the same objects.

What kubectl says is kept in `corpus/expected.json`. `python tests/workers/render/test_yaml_corpus.py` asks
the development cluster's kubectl anew; a test holds that it still says the same.
"""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from mooring.errors import RenderFailed
from workers.render import scalars
from workers.render.yaml_reader import read_documents

CORPUS = Path(__file__).parent / "corpus"
EXPECTED = CORPUS / "expected.json"
ANSWERS = json.loads(EXPECTED.read_text())


def asked(running: Cluster, folder: str) -> dict[str, Any]:
    """What kubectl makes of the files of one folder: bodies by object name, without those it refuses."""
    command = [*running.kubectl, "create", "--dry-run=client", "--validate=false", "-o", "json"]
    answer = subprocess.run([*command, "-f", str(CORPUS / folder)], capture_output=True, text=True)
    text, position, bodies = answer.stdout, 0, {}
    while text[position:].strip():
        body, position = json.JSONDecoder().raw_decode(text, position)
        position += len(text[position:]) - len(text[position:].lstrip())
        for item in body["items"] if body["kind"] == "List" else [body]:
            item["metadata"].pop("namespace", None)  # kubectl fills it in
            bodies[item["metadata"]["name"]] = item
    return bodies


def files(folder: str) -> list[Path]:
    return sorted((CORPUS / folder).glob("*.yaml"))


def on_the_wire(value: object) -> object:
    # kubectl prints a float64 of 9223372036854775808 with all its digits: it is a float nevertheless.
    if isinstance(value, dict):
        return {key: on_the_wire(child) for key, child in value.items()}
    if isinstance(value, list):
        return [on_the_wire(child) for child in value]
    return repr(scalars.on_the_wire(value)) if type(value) is int or type(value) is float else value


@pytest.mark.parametrize("file", files("read"), ids=lambda file: file.stem)
def test_what_kubectl_reads_is_read_the_same(file: Path) -> None:
    documents, _ = read_documents(file.read_bytes(), file.name)
    assert documents
    for document in documents:
        body = copy.deepcopy(document.body)
        assert on_the_wire(body) == on_the_wire(ANSWERS["read"][body["metadata"]["name"]])


def test_no_object_that_kubectl_reads_is_left_out() -> None:
    names = [
        document.body["metadata"]["name"]
        for file in files("read")
        for document in read_documents(file.read_bytes(), file.name)[0]
    ]
    assert sorted(names) == sorted(ANSWERS["read"])


@pytest.mark.parametrize("file", files("refused"), ids=lambda file: file.stem)
def test_what_kubectl_refuses_is_refused_with_file_and_line(file: Path) -> None:
    with pytest.raises(RenderFailed) as caught:
        read_documents(file.read_bytes(), "apps/x.yaml")
    name, _, line = caught.value.where.partition(":")
    assert name == "apps/x.yaml"
    assert 1 <= int(line) <= len(file.read_bytes().splitlines()) + 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", files("stricter"), ids=lambda file: file.stem)
def test_what_kubectl_drops_in_silence_is_refused(file: Path) -> None:
    with pytest.raises(RenderFailed):
        read_documents(file.read_bytes(), file.name)


@pytest.mark.cluster
@pytest.mark.parametrize("folder", ["read", "refused", "stricter"])
def test_kubectl_still_says_what_is_kept_beside_the_corpus(cluster: Cluster, folder: str) -> None:
    assert asked(cluster, folder) == ANSWERS[folder]


def test_kubectl_refuses_all_that_the_corpus_says_it_does() -> None:
    assert ANSWERS["refused"] == {}
    assert len(files("read")) + len(files("refused")) >= 60


if __name__ == "__main__":
    answers = {folder: asked(devcluster.start(), folder) for folder in ("read", "refused", "stricter")}
    EXPECTED.write_text(json.dumps(answers, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

"""Charts and artifacts are origins of files as Git repositories are: asked once, read without asking."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.chartserver import ChartServer
from devcluster.registry import Registry, push_artifact
from mooring.errors import RemoteRefused
from mooring.model.spec import Source
from mooring.settings import Settings
from workers.git.credentials import Credential
from workers.origin import Origin, RemoteOrigin, notes_dir
from workers.render.files import Files

CHART = {"templates/cm.yaml": "kind: ConfigMap\n"}
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@pytest.fixture
def charts() -> Iterator[ChartServer]:
    with ChartServer() as server:
        server.chart("web", "1.2.3", CHART)
        server.index()
        yield server


def origin(directory: Path, **source: Any) -> RemoteOrigin:
    return RemoteOrigin(Settings(state_dir=str(directory)), Source(**source), Credential(plain_http=True))


def archive(**files: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            about = tarfile.TarInfo(f"{name}.yaml")
            about.size = len(text)
            tar.addfile(about, io.BytesIO(text.encode()))
    return gzip.compress(packed.getvalue())


def read(of: Origin, revision: str, path: str) -> bytes:
    return Files(of.tree(revision), revision).read(path)


def test_a_range_is_the_newest_version_in_it_and_its_files_are_those_of_the_chart(
    charts: ChartServer, tmp_path: Path
) -> None:
    of = origin(tmp_path, repo_url=charts.url, chart="web")
    assert of.resolve("1.x", "", 10) == "1.2.3"
    assert read(of, "1.2.3", "templates/cm.yaml") == b"kind: ConfigMap\n"
    charts.chart("web", "1.3.0", CHART)
    charts.index()
    assert of.resolve("1.x", "1.2.3", 10) == "1.3.0", "what was there before is a hint only"
    with pytest.raises(RemoteRefused, match=r"no version of chart 'web' that fits '2\.x'"):
        of.resolve("2.x", "", 10)


def test_what_was_found_is_read_again_without_asking(charts: ChartServer, tmp_path: Path) -> None:
    of = origin(tmp_path, repo_url=charts.url, chart="web")
    assert not of.has("1.2.3")
    of.resolve("", "", 10)
    asked = len(charts.requests)
    again = origin(tmp_path, repo_url=charts.url, chart="web")  # another process of this machine
    assert again.has("1.2.3")
    again.bring("1.2.3")
    assert read(again, "1.2.3", "Chart.yaml").startswith(b"apiVersion: v2")
    assert len(charts.requests) == asked


def test_a_machine_that_has_it_not_asks_for_the_very_version(charts: ChartServer, tmp_path: Path) -> None:
    charts.chart("web", "1.3.0", CHART)
    charts.index()
    elsewhere = origin(tmp_path / "other", repo_url=charts.url, chart="web")
    elsewhere.bring("1.2.3")
    assert elsewhere.has("1.2.3")
    assert not elsewhere.has("1.3.0")


def test_what_another_credential_or_chart_was_given_is_not_had(charts: ChartServer, tmp_path: Path) -> None:
    of = origin(tmp_path, repo_url=charts.url, chart="web")
    of.resolve("", "", 10)
    stranger = RemoteOrigin(of.settings, of.source, Credential(secret="another"))
    assert not stranger.has("1.2.3")
    assert stranger.place != of.place
    assert not origin(tmp_path, repo_url=charts.url, chart="db").has("1.2.3")


def test_a_note_that_is_damaged_is_as_if_it_were_not_there(charts: ChartServer, tmp_path: Path) -> None:
    of = origin(tmp_path, repo_url=charts.url, chart="web")
    of.resolve("", "", 10)
    for note in notes_dir(of.settings).iterdir():
        note.write_text('{"version": 1')
    assert not of.has("1.2.3")
    assert read(of, "1.2.3", "templates/cm.yaml") == b"kind: ConfigMap\n"


def test_a_chart_of_a_registry_is_had_with_and_without_the_scheme(
    charts: ChartServer, tmp_path: Path
) -> None:
    with Registry() as registry:
        registry.push_chart(charts.root / "web-1.2.3.tgz")
        for url in (f"oci://{registry.host}/charts", f"{registry.host}/charts"):
            of = origin(tmp_path, repo_url=url, chart="web")
            assert of.resolve("^1", "", 10) == "1.2.3"
            assert read(of, "1.2.3", "templates/cm.yaml") == b"kind: ConfigMap\n"


def test_an_artifact_is_the_digest_of_what_its_tag_is_at(tmp_path: Path) -> None:
    with Registry() as registry:
        first = push_artifact(registry.url, "team/app", "live", {LAYER: archive(a="v: 1\n")})
        of = origin(tmp_path, repo_url=f"oci://{registry.host}/team/app", path=".")
        assert of.resolve("live", "", 10) == first
        second = push_artifact(registry.url, "team/app", "live", {LAYER: archive(a="v: 2\n")})
        assert of.resolve("live", first, 10) == second
        assert read(of, second, "a.yaml") == b"v: 2\n"
        assert read(of, first, "a.yaml") == b"v: 1\n", "there is a way back"
        assert of.resolve(first, "", 10) == first

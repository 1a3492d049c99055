"""Charts come from HTTP repositories as Helm's own tools make and serve them."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from devcluster.chartserver import ChartServer, Reply
from mooring.errors import RemoteFailed, RemoteRefused
from mooring.settings import Settings
from workers.git.credentials import Credential, CredentialKind
from workers.remote.remotes import Remotes
from workers.render.files import Files

NOBODY = Credential()


def asked(charts: ChartServer) -> list[str]:
    return [request.path for request in charts.requests]


def test_a_chart_is_found_fetched_once_and_read_as_a_commit(charts: ChartServer, remotes: Remotes) -> None:
    found = remotes.chart(charts.url, "web", "~1.2", NOBODY, trusted=True)
    assert found.version == "1.2.3"
    assert found.digest == hashlib.sha256((charts.root / "web-1.2.3.tgz").read_bytes()).hexdigest()

    files = Files(remotes.tree(found, NOBODY), "")
    assert files.read("values.yaml") == b"a: 1\n"
    assert [entry.path for entry in files.walk("templates")] == ["templates/cm.yaml"]

    before = len(charts.requests)
    assert remotes.tree(found, NOBODY).tree_id("", "") == files.tree.tree_id("", "")
    assert len(charts.requests) == before


@pytest.mark.parametrize(
    ("revision", "version"), [("", "1.3.0"), ("*", "1.3.0"), ("1.2.3", "1.2.3"), ("<1.3", "1.2.3")]
)
def test_a_revision_is_a_version_or_a_range(
    charts: ChartServer, remotes: Remotes, revision: str, version: str
) -> None:
    assert remotes.chart(charts.url, "web", revision, NOBODY, trusted=True).version == version


def test_an_index_is_read_anew_only_when_it_changed(charts: ChartServer, remotes: Remotes) -> None:
    for _ in range(2):
        assert remotes.chart(charts.url + "/", "web", "*", NOBODY, trusted=True).version == "1.3.0"
    assert "if-none-match" in charts.requests[-1].headers
    charts.chart("web", "1.4.0")
    charts.index()
    assert remotes.chart(charts.url, "web", "*", NOBODY, trusted=True).version == "1.4.0"


def test_a_host_that_tells_times_instead_of_tags_is_asked_by_them(
    charts: ChartServer, remotes: Remotes
) -> None:
    then = "Wed, 21 Oct 2015 07:28:00 GMT"
    index = (charts.root / "index.yaml").read_bytes()
    charts.replies["/index.yaml"] = Reply(200, {"Last-Modified": then}, index)
    remotes.chart(charts.url, "web", "*", NOBODY, trusted=True)
    charts.replies["/index.yaml"] = Reply(304)
    assert remotes.chart(charts.url, "web", "*", NOBODY, trusted=True).version == "1.3.0"
    assert charts.requests[-1].headers["if-modified-since"] == then


def test_packages_may_be_elsewhere_below_the_repository(charts: ChartServer, remotes: Remotes) -> None:
    charts.chart("api", "1.0.0", under="stable/packages")
    charts.index(under="stable")
    found = remotes.chart(f"{charts.url}/stable", "api", "1.x", NOBODY, trusted=True)
    assert remotes.tree(found, NOBODY).tree_id("", "Chart.yaml")
    assert asked(charts)[-1] == "/stable/packages/api-1.0.0.tgz"


def test_an_archive_without_a_digest_gets_one_and_a_new_one_when_it_changes(
    charts: ChartServer, remotes: Remotes
) -> None:
    index = charts.root / "index.yaml"
    index.write_text(re.sub(r"\n +digest: .*", "", index.read_text()))
    first = remotes.chart(charts.url, "web", "1.2.3", NOBODY, trusted=True)
    assert remotes.chart(charts.url, "web", "1.2.3", NOBODY, trusted=True) == first
    assert "if-none-match" in charts.requests[-1].headers
    remotes.tree(first, NOBODY)

    charts.chart("web", "1.2.3", {"values.yaml": "a: 2\n"})
    second = remotes.chart(charts.url, "web", "1.2.3", NOBODY, trusted=True)
    assert second.digest != first.digest
    assert Files(remotes.tree(second, NOBODY), "").read("values.yaml") == b"a: 2\n"


def test_an_archive_that_is_not_the_indexs_is_refused(charts: ChartServer, remotes: Remotes) -> None:
    found = remotes.chart(charts.url, "web", "1.2.3", NOBODY, trusted=True)
    shutil.copy(charts.root / "web-1.3.0.tgz", charts.root / "web-1.2.3.tgz")
    with pytest.raises(RemoteRefused, match=r"web-1\.2\.3\.tgz has the digest sha256:.*replaced or damaged"):
        remotes.tree(found, NOBODY)


def test_a_chart_that_calls_itself_otherwise_is_refused(charts: ChartServer, remotes: Remotes) -> None:
    index = charts.root / "index.yaml"
    index.write_text(index.read_text().replace("web:", "api:").replace("name: web", "name: api"))
    found = remotes.chart(charts.url, "api", "1.2.3", NOBODY, trusted=True)
    with pytest.raises(RemoteRefused, match=r"holds the chart 'web', not 'api'"):
        remotes.tree(found, NOBODY)


def test_a_digest_that_somebody_claims_opens_nothing_that_a_credential_fetched(
    charts: ChartServer, tmp_path: Path, remotes: Remotes
) -> None:
    mine = Credential(CredentialKind.BASIC, "me", "hunter2")
    with ChartServer(user="me", password="hunter2") as private:
        private.chart("web", "1.2.3", {"values.yaml": "password: s3cret\n"})
        private.index()
        secret = remotes.chart(private.url, "web", "1.2.3", mine, trusted=True)
        remotes.tree(secret, mine)

    index = charts.root / "index.yaml"
    index.write_text(re.sub(r"digest: .*", f"digest: {secret.digest}", index.read_text()))
    claimed = remotes.chart(charts.url, "web", "1.2.3", NOBODY, trusted=True)
    assert claimed.digest == secret.digest
    with pytest.raises(RemoteRefused, match="replaced or damaged"):
        remotes.tree(claimed, NOBODY)


@pytest.mark.parametrize(
    ("chart", "revision", "says"),
    [
        ("other", "1.2.3", r"no chart 'other': correct spec.source.chart"),
        ("web", "^9", r"no version of chart 'web' that fits '\^9'"),
        ("web", "main", r"no version 'main'.*no range"),
    ],
)
def test_what_is_not_there_says_what_to_correct(
    charts: ChartServer, remotes: Remotes, chart: str, revision: str, says: str
) -> None:
    with pytest.raises(RemoteRefused, match=says):
        remotes.chart(charts.url, chart, revision, NOBODY, trusted=True)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (b"<html></html>", "index.yaml"),
        (b"apiVersion: v1\n", "not the index of a chart repository"),
        (b"entries: [", "is not YAML.*owner must mend"),
        (
            b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + b"".join(
                b"%c: &%c [%s]\n" % (name + 1, name + 1, b",".join([b"*%c" % name] * 10))
                for name in range(ord("a"), ord("i"))
            ),
            "aliases",
        ),
        (b"entries: " + b"[" * 5000, "nested deeper"),
    ],
    ids=["html", "other", "broken", "alias bomb", "deep"],
)
def test_an_index_that_cannot_be_used_is_refused_by_name(
    charts: ChartServer, remotes: Remotes, index: bytes, says: str
) -> None:
    (charts.root / "index.yaml").write_bytes(index)
    with pytest.raises(RemoteRefused, match=says) as error:
        remotes.chart(charts.url, "web", "", NOBODY, trusted=True)
    assert "\n" not in str(error.value)
    assert f"127.0.0.1:{charts.port}/index.yaml" in str(error.value)


def test_versions_that_make_no_sense_hide_no_good_ones(charts: ChartServer, remotes: Remotes) -> None:
    index = charts.root / "index.yaml"
    entry = "  - {version: 9.9, urls: [x]}\n  - null\n  - {version: 9.0.0}\n"
    entry += "  - {name: api, version: 9.0.0, urls: [x]}"
    index.write_text(index.read_text().replace("  web:\n", f"  web:\n{entry}\n"))
    assert remotes.chart(charts.url, "web", "", NOBODY, trusted=True).version == "1.3.0"


def test_an_index_of_100_mb_is_not_read(charts: ChartServer, remotes: Remotes) -> None:
    charts.replies["/index.yaml"] = Reply(chunks=lambda: (b"#" * (1 << 20) for _ in range(100)))
    with pytest.raises(RemoteRefused, match="more bytes than the limit"):
        remotes.chart(charts.url, "web", "", NOBODY, trusted=True)
    charts.replies["/index.yaml"] = Reply(200, {"Content-Length": str(100 << 20)}, chunks=list)
    with pytest.raises(RemoteRefused, match="has 104857600 bytes"):
        remotes.chart(charts.url, "web", "", NOBODY, trusted=True)


def test_a_host_that_is_down_may_answer_later(charts: ChartServer, remotes: Remotes) -> None:
    charts.replies["/index.yaml"] = Reply(503, {"Retry-After": "7"})
    with pytest.raises(RemoteFailed, match="HTTP 503") as error:
        remotes.chart(charts.url, "web", "", NOBODY, trusted=True)
    assert error.value.after == 7
    charts.replies["/index.yaml"] = Reply(200, {"Content-Length": "100"}, chunks=lambda: [b"entries:"])
    with pytest.raises(RemoteFailed, match="cut short"):
        remotes.chart(charts.url, "web", "", NOBODY, trusted=True)
    charts.stop()
    with pytest.raises(RemoteFailed, match="cannot be asked"):
        remotes.chart(charts.url, "web", "", NOBODY, trusted=True)


def test_a_single_file_comes_with_its_digest(charts: ChartServer, tmp_path: Path) -> None:
    (charts.root / "base.yaml").write_bytes(b"kind: A\n")
    remotes = Remotes(tmp_path, Settings(remote_hosts="127.0.0.1"))
    data, digest = remotes.file(f"{charts.url}/base.yaml?ref=v1", NOBODY)
    assert (data, digest) == (b"kind: A\n", hashlib.sha256(b"kind: A\n").hexdigest())
    with pytest.raises(RemoteRefused, match="no such thing"):
        remotes.file(f"{charts.url}/other.yaml", NOBODY)

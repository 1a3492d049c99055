"""Archives that strangers made: what is good in them comes out, what is meant to harm is refused."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.chartserver import ChartServer
from mooring.errors import RemoteRefused
from workers.remote.archive import FILE, LINK, PROGRAM, Bounds, unpack

Part = tuple[tarfile.TarInfo, bytes]


def file(name: str, data: bytes = b"x", **more: object) -> Part:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in more.items():
        setattr(info, field, value)
    return info, data


def special(name: str, kind: bytes, target: str = "") -> Part:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def tar(*parts: Part, format: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as archive:
        for info, data in parts:
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def paths(data: bytes) -> list[str]:
    return list(unpack(data).members)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["tar", "tar.gz"])
def test_files_programs_and_links_come_out_in_every_format(
    packed: Callable[[bytes], bytes], format: int
) -> None:
    long = "/".join(["chart", "d" * 90, "e" * 90, "templates", "ünï" * 30 + ".yaml"])
    pack = unpack(
        packed(
            tar(
                special("./chart/", tarfile.DIRTYPE),
                file("./chart//Chart.yaml", b"name: chart\n"),
                file(long, b"kind: A\n"),
                file("chart/run.sh", b"#!/bin/sh\n", mode=0o755),
                special("chart/same", tarfile.SYMTYPE, "Chart.yaml"),
                special("chart/d/up", tarfile.SYMTYPE, "../run.sh"),
                special("chart/copy", tarfile.LNKTYPE, "chart/run.sh"),
                format=format,
            )
        )
    )
    told = {path: (member.mode, member.data) for path, member in pack.members.items()}
    assert told == {
        "chart/Chart.yaml": (FILE, b"name: chart\n"),
        long: (FILE, b"kind: A\n"),
        "chart/run.sh": (PROGRAM, b"#!/bin/sh\n"),
        "chart/copy": (PROGRAM, b"#!/bin/sh\n"),
        "chart/same": (LINK, b"Chart.yaml"),
        "chart/d/up": (LINK, b"../run.sh"),
    }
    assert all(len(member.id) == 40 for member in pack.members.values())


def test_what_helm_and_gnu_tar_pack_is_read(tmp_path: Path) -> None:
    with ChartServer() as charts:
        archive = charts.chart("web", "1.0.0", {"templates/a.yaml": "a: 1\n", ".helmignore": "b\n"})
        pack = unpack(archive.read_bytes()).without_top()
    assert set(pack.members) == {"Chart.yaml", "templates/a.yaml", ".helmignore"}

    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.yaml").write_text("a: 1\n")
    (source / "link").symlink_to("deep/a.yaml")
    for options in ("--format=ustar", "--format=gnu", "--format=pax"):
        made = tmp_path / "made.tar"
        assert os.system(f"tar {options} -C {source} -cf {made} .") == 0
        assert paths(made.read_bytes()) == ["deep/a.yaml", "link"]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([file("/etc/passwd")], "absolute path"),
        ([file("chart/../../etc/passwd")], "leads out"),
        ([file("..")], "leads out"),
        ([file("chart/..\\..\\x")], "backslash"),
        ([file("chart/a\nb")], "control character"),
        ([special("chart/l", tarfile.SYMTYPE, "/etc/passwd")], "leads out"),
        ([special("chart/l", tarfile.SYMTYPE, "../../x")], "leads out"),
        ([special("l", tarfile.SYMTYPE, "..")], "leads out"),
        ([special("l", tarfile.SYMTYPE, "d"), file("l/x")], "no directory"),
        ([file("a"), file("a/b")], "no directory"),
        ([file("a/b"), file("a")], "twice"),
        ([file("a"), file("./a")], "twice"),
        ([file("a"), special("a", tarfile.SYMTYPE, "b")], "twice"),
        ([special("h", tarfile.LNKTYPE, "/etc/passwd")], "absolute path"),
        ([special("h", tarfile.LNKTYPE, "nothing")], "hard link to no file"),
        ([special("l", tarfile.SYMTYPE, "x"), special("h", tarfile.LNKTYPE, "l")], "hard link to no file"),
        ([special("c", tarfile.CHRTYPE)], "device"),
        ([special("b", tarfile.BLKTYPE)], "device"),
        ([special("f", tarfile.FIFOTYPE)], "device"),
        ([file(".git/config")], "Git repository"),
        ([file("chart/.GIT/hooks/x")], "Git repository"),
        ([file("/".join(["d"] * 100))], "too deep"),
        ([file("n" * 300)], "too long"),
        # PAX: the name in the header is harmless, the one that counts is not.
        ([file("chart/a", pax_headers={"path": "../../x"})], "leads out"),
        ([file("chart/a", pax_headers={"path": "/x"})], "absolute path"),
        ([file("chart/a", pax_headers={"size": "-1"})], "size is no number"),
        ([file("chart/a", pax_headers={"size": "99999999999"})], "more than the limit"),
        ([file("chart/a", pax_headers={"GNU.sparse.major": "1"})], "sparse"),
        ([file("chart/a", pax_headers={"comment": "x" * (2 << 20)})], "header that is too large"),
    ],
)
def test_what_no_chart_needs_is_refused(parts: Iterable[Part], says: str) -> None:
    with pytest.raises(RemoteRefused, match=says):
        unpack(gzip.compress(tar(*parts)))


def test_a_directory_that_nobody_may_delete_is_a_directory_like_any_other() -> None:
    """CVE-2023-40584: modes are not taken over, but for what makes a program."""
    folder = special("chart/d", tarfile.DIRTYPE)
    folder[0].mode = 0
    pack = unpack(tar(folder, file("chart/d/a", mode=0)))
    assert pack.members["chart/d/a"].mode == FILE


def test_a_bomb_goes_off_before_it_is_unpacked() -> None:
    zeros = tar(file("chart/zeros", bytes(60 << 20)))
    bomb = gzip.compress(zeros, 9)
    assert len(zeros) / len(bomb) > 800
    with pytest.raises(RemoteRefused, match="a bomb"):
        unpack(bomb)
    with pytest.raises(RemoteRefused, match="limit of 1 MiB"):
        unpack(tar(file("a", bytes(2 << 20))), Bounds(total_bytes=1 << 20))


def test_a_bomb_of_many_small_files_is_refused() -> None:
    with pytest.raises(RemoteRefused, match="more than 20000 files"):
        unpack(gzip.compress(tar(*(file(f"chart/{number}", b"") for number in range(100_000)))))


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda data: data[:1000], id="cut"),
        pytest.param(lambda data: data[: 512 + 5120], id="cut between files"),
        pytest.param(lambda data: gzip.compress(data)[:-9], id="gzip cut"),
        pytest.param(lambda data: gzip.compress(data)[:20] + b"?" * 50, id="gzip damaged"),
        pytest.param(lambda data: data[:10] + b"?" + data[11:], id="checksum"),
        pytest.param(lambda data: b"kind: ConfigMap\n" * 100, id="a manifest"),
        pytest.param(lambda data: b"PK\x03\x04" + bytes(1000), id="zip"),
    ],
)
def test_what_is_damaged_or_no_archive_is_refused(broken: Callable[[bytes], bytes]) -> None:
    with pytest.raises(RemoteRefused, match=r"damaged|cut short"):
        unpack(broken(tar(file("chart/a", b"x" * 5000))))


def test_a_chart_has_one_directory_and_nothing_beside_it() -> None:
    with pytest.raises(RemoteRefused, match="no chart"):
        unpack(tar(file("a/Chart.yaml"), file("b/x"))).without_top()
    with pytest.raises(RemoteRefused, match="no chart"):
        unpack(tar(file("Chart.yaml"))).without_top()


@given(st.binary(max_size=2000), st.integers(0, 1500))
def test_no_bytes_do_more_than_be_refused(noise: bytes, at: int) -> None:
    good = tar(file("chart/a", b"x" * 700), special("chart/l", tarfile.SYMTYPE, "a"))
    for data in (noise, good[:at] + noise + good[at + len(noise) :], b"\x1f\x8b" + noise):
        try:
            unpack(data)
        except RemoteRefused:
            continue

"""What was fetched is kept, found again, and thrown away when a disk spoilt it or room is needed."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from mooring.errors import GitRefused, RemoteFailed
from workers.remote.archive import FILE, LINK, Member, Pack, id_of
from workers.remote.store import Store
from workers.render.files import Files


def pack(**files: bytes) -> Pack:
    return Pack({path.replace("__", "/"): Member(FILE, id_of(data), data) for path, data in files.items()})


def test_a_pack_is_read_as_a_commit_is(tmp_path: Path) -> None:
    members = dict(pack(a=b"1", d__b=b"2", d__e__c=b"1").members)
    members["l"] = Member(LINK, id_of(b"d/b"), b"d/b")
    tree = Store(tmp_path).keep("key", Pack(members))

    assert [entry.path for entry in tree.walk("any")] == ["a", "d", "l", "d/b", "d/e", "d/e/c"]
    assert [entry.path for entry in tree.walk("any", "d", False)] == ["d/b", "d/e"]
    assert tree.tree_id("any", "a") == tree.tree_id("any", "d/e/c") == id_of(b"1")
    assert tree.tree_id("any", "nothing") is None
    assert list(tree.walk("any", "nothing")) == list(tree.walk("any", "a")) == []

    files = Files(tree, "any")
    assert files.read("l") == b"2"
    files.copy([""], tmp_path / "out")
    assert (tmp_path / "out" / "d" / "e" / "c").read_bytes() == b"1"
    assert (tmp_path / "out" / "l").read_bytes() == b"2"


def test_ids_tell_trees_apart_and_equal_ones_together(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.keep("1", pack(a=b"1", d__b=b"2"))
    again = store.keep("2", pack(d__b=b"2", a=b"1"))
    other = store.keep("3", pack(a=b"1", d__b=b"3"))
    assert first.tree_id("", "") == again.tree_id("", "") != other.tree_id("", "")
    assert first.tree_id("", "a") == other.tree_id("", "a")
    assert first.tree_id("", "d") != other.tree_id("", "d")


def test_another_process_finds_what_was_kept(tmp_path: Path) -> None:
    Store(tmp_path).keep("key", pack(a=b"1"))
    found = Store(tmp_path).open("key")
    assert found is not None
    assert found.read_many([id_of(b"1")], 10) == {id_of(b"1"): b"1"}
    assert Store(tmp_path).open("other") is None


def test_a_file_larger_than_asked_for_is_refused_by_its_id(tmp_path: Path) -> None:
    tree = Store(tmp_path).keep("key", pack(a=b"12345"))
    with pytest.raises(GitRefused, match=id_of(b"12345")):
        tree.read_many([id_of(b"12345")], 4)


def test_what_the_disk_spoilt_is_thrown_away(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tree = store.keep("key", pack(a=b"content"))
    kept = next(tmp_path.iterdir())
    kept.write_bytes(kept.read_bytes().replace(b"content", b"CONTENT"))
    with pytest.raises(RemoteFailed, match="damaged"):
        tree.read_many([id_of(b"content")], 100)
    assert store.open("key") is None

    for spoil in (lambda data: data[:-1], lambda data: data[:40] + b"?" + data[41:], lambda data: b""):
        store.keep("key", pack(a=b"content"))
        kept.write_bytes(spoil(kept.read_bytes()))
        assert store.open("key") is None
        assert not kept.exists()


def test_those_that_nobody_used_for_longest_make_room(tmp_path: Path) -> None:
    store = Store(tmp_path, room=3000)
    clock = itertools.count(1_000_000_000)
    for name in ("old", "used", "new"):
        store.keep(name, pack(a=name.encode() * 250))
        for path in tmp_path.iterdir():
            if path.stat().st_mtime > 1_100_000_000:
                os.utime(path, (next(clock),) * 2)
    assert store.open("used") is not None  # it moves to the front by that
    tree = store.open("old")
    os.utime(store._path("old"), (1, 1))
    store.keep("newest", pack(a=b"newest" * 200))
    assert store.open("old") is None
    assert store.open("used") is not None
    assert store.open("newest") is not None
    assert tree is not None
    with pytest.raises(RemoteFailed, match="not here any more"):
        tree.read_many([id_of(b"old" * 250)], 1000)


def test_one_pack_that_is_larger_than_all_the_room_is_kept_alone(tmp_path: Path) -> None:
    store = Store(tmp_path, room=10)
    store.keep("first", pack(a=b"1" * 100))
    assert store.keep("second", pack(a=b"2" * 100)).tree_id("", "a") == id_of(b"2" * 100)
    assert store.open("first") is None


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RemoteFailed, match="cannot be kept in"):
        Store(tmp_path / "file").keep("key", pack(a=b"1"))


def test_half_a_file_of_a_writer_that_died_is_swept_and_never_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.keep("key", pack(a=b"1"))
    (tmp_path / "new-abandoned").write_bytes(b"half")
    (tmp_path / "new-working").write_bytes(b"half")
    os.utime(tmp_path / "new-abandoned", (1, 1))
    store.keep("other", pack(a=b"2"))
    left = {path.name for path in tmp_path.iterdir()}
    assert "new-abandoned" not in left
    assert "new-working" in left

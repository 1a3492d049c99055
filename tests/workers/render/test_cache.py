"""What was rendered once is not rendered again: until something that it read changes, and never otherwise."""

from __future__ import annotations

import dataclasses
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devcluster.gitserver import Repository
from mooring.errors import RemoteFailed, RemoteRefused, RenderExceeded, RenderFailed, TooSlow
from mooring.model.spec import Source
from tests.workers.render.trees import trees
from workers.confine.run import NotConfined, ToolFailed, ToolLost
from workers.git.tree import TreeReader
from workers.render.cache import Cache
from workers.render.directory import DirectoryRenderer
from workers.render.files import Files
from workers.render.patience import within
from workers.render.source import App, Job, Nothing, Parameters, Product

KEY = b"k" * 32
ROOM = 1 << 20


class Counted(DirectoryRenderer):
    """Plain directories, and how often they were rendered; `raises` instead of giving anything."""

    def __init__(self, raises: Exception | None = None) -> None:
        self.times = 0
        self.raises = raises

    def render(self, job: Job) -> Product:
        self.times += 1
        product = super().render(job)
        if self.raises is not None:
            raise self.raises
        for files in job.refs.values():
            files.find("values.yaml")
        return dataclasses.replace(product, pure=False)


@pytest.fixture
def tree(git_repo: Repository) -> Iterator[TreeReader]:
    with trees(git_repo) as reader:
        yield reader


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "renders", KEY, ROOM)


def config(name: str, value: str = "x") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: {value}}}\n"


FILES: dict[str, str | None] = {
    "app/a.yaml": config("a"),
    "app/b.yaml": config("b"),
    "other/e.yaml": config("e"),
}


def job(tree: TreeReader, commit: str, **source: Any) -> Job:
    spec = Source.model_validate({"repoURL": "https://git.example.com/x", "path": "app", **source})
    return Job(App("shop"), spec, Files(tree, commit), Nothing(), Parameters())


def test_the_same_again_is_not_rendered_whatever_else_was_pushed(
    cache: Cache, git_repo: Repository, tree: TreeReader
) -> None:
    renderer = Counted()
    first = job(tree, git_repo.commit(FILES))
    made = cache.product(first, "Directory", renderer)
    elsewhere = job(tree, git_repo.commit({"other/e.yaml": config("changed")}))
    again = cache.product(elsewhere, "Directory", renderer)
    assert again == made
    assert [manifest.digest for manifest in again.manifests] == [one.digest for one in made.manifests]
    assert again.pure is False
    assert renderer.times == 1
    assert elsewhere.files.reads == first.files.reads, "what was kept says what it read, too"


@pytest.mark.parametrize(
    "change",
    [
        {"app/a.yaml": config("a", "changed")},
        {"app/new.yaml": config("new")},
        {"app/a.yaml": None},
        {"app/folder/README.md": "appeared"},
    ],
)
def test_whatever_it_read_makes_it_render_again(
    cache: Cache, git_repo: Repository, tree: TreeReader, change: dict[str, str | None]
) -> None:
    renderer = Counted()
    cache.product(job(tree, git_repo.commit(FILES)), "Directory", renderer)
    after = job(tree, git_repo.commit(change))
    assert cache.product(after, "Directory", renderer) == Counted().render(after)
    assert renderer.times == 2
    back = job(tree, git_repo.commit({**FILES, **dict.fromkeys(change.keys() - FILES.keys())}))
    cache.product(back, "Directory", renderer)
    assert renderer.times == 2, "a push that goes back finds what was made before"


def test_other_options_another_tool_and_another_bound_are_another_question(
    cache: Cache, git_repo: Repository, tree: TreeReader
) -> None:
    renderer = Counted()
    commit = git_repo.commit(FILES)
    plain = job(tree, commit)
    cache.product(plain, "Directory", renderer)
    cache.product(job(tree, commit, directory={"exclude": "a*"}), "Directory", renderer)
    cache.product(plain, "Plugin", renderer)
    cache.product(dataclasses.replace(plain, parameters=Parameters(seconds=1)), "Directory", renderer)
    assert renderer.times == 4


def test_a_file_of_another_source_counts_too(cache: Cache, git_repo: Repository, tree: TreeReader) -> None:
    renderer = Counted()

    def both(commit: str) -> Job:
        return dataclasses.replace(job(tree, commit), refs={"values": Files(tree, commit)})

    first = both(git_repo.commit(FILES))
    cache.product(first, "Directory", renderer)
    cache.product(both(first.files.commit), "Directory", renderer)
    assert renderer.times == 1
    cache.product(both(git_repo.commit({"values.yaml": "appeared"})), "Directory", renderer)
    assert renderer.times == 2


def test_one_that_takes_too_much_is_tried_once_until_it_changes_or_somebody_asks(
    cache: Cache, git_repo: Repository, tree: TreeReader
) -> None:
    renderer = Counted(RenderExceeded("took more than 60 s", where="app/a.yaml"))
    bomb = job(tree, git_repo.commit(FILES))
    for _ in range(3):
        with pytest.raises(RenderExceeded, match=r"app/a\.yaml: took more than 60 s"):
            cache.product(bomb, "Directory", renderer)
    assert renderer.times == 1
    with pytest.raises(RenderExceeded):
        cache.product(bomb, "Directory", renderer, anew=True)
    assert renderer.times == 2
    renderer.raises = None
    mended = job(tree, git_repo.commit({"app/a.yaml": config("a", "small")}))
    assert len(cache.product(mended, "Directory", renderer).manifests) == 2


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that fails here has failed slowly."""
    monkeypatch.setattr("workers.render.cache._SLOW_S", 0.0)


@pytest.mark.usefixtures("slow")
def test_one_that_fails_slowly_by_itself_is_tried_once_until_it_changes_or_somebody_asks(
    cache: Cache, git_repo: Repository, tree: TreeReader
) -> None:
    own = RenderFailed("helm: it goes in circles", where="app/a.yaml:1")
    own.__cause__ = ToolFailed("exit code 1", code=1)
    renderer = Counted(own)
    bad = job(tree, git_repo.commit(FILES))
    for _ in range(3):
        with pytest.raises(RenderFailed, match=r"^app/a\.yaml:1: helm: it goes in circles$"):
            cache.product(bad, "Directory", renderer)
    assert renderer.times == 1
    with pytest.raises(RenderFailed):
        cache.product(bad, "Directory", renderer, anew=True)
    assert renderer.times == 2
    renderer.raises = None
    mended = job(tree, git_repo.commit({"app/a.yaml": config("a", "mended")}))
    assert len(cache.product(mended, "Directory", renderer).manifests) == 2


@pytest.mark.usefixtures("slow")
def test_and_again_after_an_hour(
    cache: Cache, git_repo: Repository, tree: TreeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.render.cache._FAILED_S", -1.0)  # which is over
    renderer = Counted(RenderFailed("no space left"))
    for times in (1, 2):
        with pytest.raises(RenderFailed):
            cache.product(job(tree, git_repo.commit(FILES)), "Directory", renderer)
        assert renderer.times == times


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    "cause",
    [
        RemoteRefused("https://charts.example.com: wrong password"),
        RemoteFailed("https://charts.example.com: no answer"),
        NotConfined("nothing here would hold it"),
        ToolLost("ended from outside"),
        ToolFailed("ended by a signal", code=-9),
        ToolFailed("what its shell started was", code=137),
        OSError("no space left on device"),
    ],
)
def test_a_failure_whose_reason_is_elsewhere_is_not_kept(
    cache: Cache, git_repo: Repository, tree: TreeReader, cause: Exception
) -> None:
    failed = RenderFailed("it does not render")
    failed.__cause__ = cause
    renderer = Counted(failed)
    wanted = job(tree, git_repo.commit(FILES))
    with pytest.raises(RenderFailed):
        cache.product(wanted, "Directory", renderer)
    renderer.raises = None
    assert cache.product(wanted, "Directory", renderer).manifests


class Host(Nothing):
    """Where one file is."""

    def __init__(self) -> None:
        self.content = b"bad"

    def file(self, url: str) -> tuple[bytes, str]:
        return self.content, self.content.decode()

    def digest(self, address: str) -> str:
        assert address == "file https://files.example.com/x.yaml"
        return self.content.decode()


class Fetching(Counted):
    def render(self, job: Job) -> Product:
        product = super().render(job)
        if job.fetch.file("https://files.example.com/x.yaml")[0] == b"bad":
            raise RenderExceeded("took more than 60 s")
        return product


def test_a_failure_counts_until_what_was_fetched_for_it_changes(
    cache: Cache, git_repo: Repository, tree: TreeReader
) -> None:
    host, renderer = Host(), Fetching()
    wanted = dataclasses.replace(job(tree, git_repo.commit(FILES)), fetch=host)
    for _ in range(2):
        with pytest.raises(RenderExceeded):
            cache.product(wanted, "Directory", renderer)
    assert renderer.times == 1
    host.content = b"good"
    assert cache.product(wanted, "Directory", renderer).manifests


class Slow(Counted):
    """Takes as long as `seconds`."""

    seconds = 2.5

    def render(self, job: Job) -> Product:
        time.sleep(self.seconds)
        return super().render(job)


def test_what_is_slow_is_not_begun_again_by_who_is_in_a_hurry_until_somebody_saw_it_quick(
    cache: Cache, git_repo: Repository, tree: TreeReader
) -> None:
    renderer = Slow()
    with pytest.raises(TooSlow, match="meanwhile"), within(2.0, lambda: TooSlow("meanwhile")):
        cache.product(job(tree, git_repo.commit(FILES)), "Directory", renderer, hurried=True)
    pushed = job(tree, git_repo.commit({"app/a.yaml": config("a", "pushed")}))
    with pytest.raises(TooSlow, match="pool slow"):
        cache.product(pushed, "Directory", renderer, hurried=True)
    assert renderer.times == 0, "whatever was pushed since"
    neighbour = dataclasses.replace(pushed, app=App("neighbour"))
    assert cache.product(neighbour, "Directory", Counted(), hurried=True).manifests
    assert cache.product(pushed, "Directory", renderer, anew=True).manifests, "others have the time"
    with pytest.raises(TooSlow):
        cache.product(pushed, "Directory", renderer, anew=True, hurried=True)
    renderer.seconds = 0
    assert cache.product(pushed, "Directory", renderer, anew=True).manifests
    assert cache.product(pushed, "Directory", renderer, anew=True, hurried=True).manifests


class Busy(Counted):
    """Computes for as long as `seconds`."""

    seconds = 0.5

    def render(self, job: Job) -> Product:
        used = time.process_time()
        while time.process_time() < used + self.seconds:
            pass
        return super().render(job)


def test_nor_is_what_takes_much_of_a_processor(cache: Cache, git_repo: Repository, tree: TreeReader) -> None:
    renderer = Busy()
    assert cache.product(job(tree, git_repo.commit(FILES)), "Directory", renderer, hurried=True).manifests
    pushed = job(tree, git_repo.commit({"app/a.yaml": config("a", "pushed")}))
    with pytest.raises(TooSlow, match="pool slow"):
        cache.product(pushed, "Directory", renderer, hurried=True)
    renderer.seconds = 0
    assert cache.product(pushed, "Directory", renderer).manifests
    assert cache.product(pushed, "Directory", renderer, anew=True, hurried=True).manifests


def test_other_failures_are_not_kept(cache: Cache, git_repo: Repository, tree: TreeReader) -> None:
    renderer = Counted(RenderFailed("helm is not installed"))
    wanted = job(tree, git_repo.commit(FILES))
    with pytest.raises(RenderFailed):
        cache.product(wanted, "Directory", renderer)
    renderer.raises = None
    assert cache.product(wanted, "Directory", renderer).manifests


def test_who_reads_the_disk_learns_nothing_and_who_writes_it_changes_nothing(
    cache: Cache, git_repo: Repository, tree: TreeReader, tmp_path: Path
) -> None:
    renderer = Counted()
    wanted = job(tree, git_repo.commit({"app/s.yaml": config("hush-hush", "correct-horse")}))
    made = cache.product(wanted, "Directory", renderer)
    files = kept(tmp_path)
    assert len(files) == 2
    for file in files:
        data = file.read_bytes()
        assert b"hush" not in data
        assert b"horse" not in data
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "renders").stat().st_mode) == 0o700
    cache.product(wanted, "Directory", renderer)
    assert renderer.times == 1
    for damage in (lambda data: data[:-1], lambda data: b"", lambda data: data[:-1] + bytes([data[-1] ^ 1])):
        for file in files:
            whole = file.read_bytes()
            file.write_bytes(damage(whole))
            times = renderer.times
            assert cache.product(wanted, "Directory", renderer) == made
            assert renderer.times == times + 1
    one, other = kept(tmp_path)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    assert cache.product(wanted, "Directory", renderer) == made
    stranger = Counted()
    Cache(tmp_path / "renders", b"o" * 32, ROOM).product(wanted, "Directory", stranger)
    assert stranger.times == 1, "another installation reads none of it"


def test_a_disk_that_takes_nothing_stops_no_render(
    git_repo: Repository, tree: TreeReader, tmp_path: Path
) -> None:
    (tmp_path / "renders").write_text("not a directory")
    cache = Cache(tmp_path / "renders", KEY, ROOM)
    assert cache.product(job(tree, git_repo.commit(FILES)), "Directory", Counted()).manifests


def test_it_takes_no_more_room_than_it_may_and_keeps_what_is_used(
    git_repo: Repository, tree: TreeReader, tmp_path: Path
) -> None:
    cache, renderer = Cache(tmp_path / "renders", KEY, ROOM), Counted()
    used = job(tree, git_repo.commit(FILES))
    cache.product(used, "Directory", renderer)
    for number in range(12):
        noise = os.urandom(60_000).hex()
        cache.product(job(tree, git_repo.commit({"app/a.yaml": config("a", noise)})), "Directory", renderer)
        for file in kept(tmp_path):  # a while later
            os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 60))
        cache.product(used, "Directory", renderer)
        assert sum(file.stat().st_size for file in kept(tmp_path)) <= ROOM
        assert renderer.times == number + 2
    cache.product(job(tree, git_repo.commit({"app/a.yaml": config("a", "00" * ROOM)})), "Directory", renderer)


def test_many_at_once_are_in_nobody_s_way(git_repo: Repository, tmp_path: Path) -> None:
    commits = [git_repo.commit({**FILES, "app/a.yaml": config("a", str(n))}) for n in range(4)]

    def run(number: int) -> set[str]:
        cache = Cache(tmp_path / "renders", KEY, ROOM)  # as another process has it
        with trees(git_repo) as tree:
            wanted = job(tree, commits[number % 4])
            product = cache.product(wanted, "Directory", Counted())
        return {str(one.body["data"]["value"]) for one in product.manifests if one.key.name == "a"}

    with ThreadPoolExecutor(8) as executor:
        assert list(executor.map(run, range(40))) == [{str(number % 4)} for number in range(40)]
    assert not [file for file in kept(tmp_path) if file.name.startswith("new-")]


def test_a_render_ends_when_patience_does_whatever_it_is_at() -> None:
    def forever() -> None:
        while True:
            try:
                threading.Event().wait()
            except Exception:
                continue

    before = signal.getsignal(signal.SIGALRM)
    with (
        pytest.raises(TooSlow, match="elsewhere"),
        within(0.05, lambda: TooSlow("it goes on elsewhere")),
        within(30, lambda: RenderExceeded("never")),
    ):
        forever()
    assert signal.getsignal(signal.SIGALRM) is before
    with within(30, lambda: TooSlow("never")):
        assert signal.getsignal(signal.SIGALRM) is not before
    assert signal.getsignal(signal.SIGALRM) is before


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "renders").glob("??/*"))

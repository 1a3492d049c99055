"""What Argo CD can render is rendered to the same objects, and a read-set names all that they depend on.

README.md says what a case is made of.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.build import PROGRAMS, tool
from devcluster.gitserver import Content, Executable, Gitlink, GitServer, Symlink
from mooring.errors import MooringError
from tests.corpus.case import CORPUS, Case, Coverage, Shelf, Shelves
from tests.corpus.hosts import Hosts, Wares
from tests.corpus.watched import watched
from workers.render.files import Files
from workers.render.manifest import manifests_of
from workers.render.readset import COMMIT
from workers.render.source import Rendered
from workers.render.yaml_reader import Document, read_documents

pytestmark = pytest.mark.usefixtures("tools")

CASES = [Case(file.parent) for file in sorted(CORPUS.glob("*/*/case.yaml"))]
RENDERED = [case for case in CASES if not case.fails]
TRUE = [case for case in RENDERED if "truth" in case.told]
FETCHING = [case for case in RENDERED if Wares.of(case.folder).data]
TRACED = [case for case in TRUE if "untraced" not in case.told]


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    made = Hosts(tmp_path_factory.mktemp("hosts"))
    yield made
    made.close()


@pytest.fixture
def shelves(git_server: GitServer, hosts: Hosts, tmp_path: Path) -> Iterator[Shelves]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    made = Shelves(lambda: git_server.create(f"corpus-{secrets.token_hex(5)}"), hosts, scratch)
    yield made
    made.close()


def bodies(rendered: Rendered) -> list[dict[str, Any]]:
    return [manifest.body for manifest in rendered.manifests]


def in_order(objects: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in objects)


@pytest.mark.parametrize("case", [case for case in CASES if case.fails], ids=str)
def test_what_must_be_refused_is_refused_on_one_line(case: Case, shelves: Shelves) -> None:
    with pytest.raises(MooringError) as caught:
        shelves.rendered(case, shelves.repositories(case))
    assert case.fails in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("case", RENDERED, ids=str)
def test_a_source_renders_to_the_objects_that_it_must(case: Case, shelves: Shelves) -> None:
    rendered = shelves.rendered(case, shelves.repositories(case))
    if os.environ.get("GOLDEN") == "write":
        case.expected.write_text(yaml.safe_dump_all(bodies(rendered), sort_keys=False, allow_unicode=True))
    assert bodies(rendered) == list(yaml.safe_load_all(case.expected.read_text()))
    assert list(rendered.warnings) == case.told.get("warnings", [])


@pytest.mark.parametrize("case", TRUE, ids=str)
def test_the_objects_are_those_of_the_tools_own_command(case: Case, shelves: Shelves, tmp_path: Path) -> None:
    repositories = shelves.repositories(case)
    rendered = shelves.rendered(case, repositories)
    done = subprocess.run(
        _argv(case),
        cwd=_checkout(repositories, tmp_path),
        env=_environment(case, tmp_path),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert in_order(bodies(rendered)) == in_order(_printed(done.stdout))


@pytest.mark.parametrize("case", RENDERED, ids=str)
def test_a_change_of_what_was_read_or_looked_for_is_another_key_and_no_other_is(
    case: Case, shelves: Shelves
) -> None:
    repositories = shelves.repositories(case)
    rendered = shelves.rendered(case, repositories)
    for name, shelf in repositories.items():
        read = _coverage(case, rendered, name)
        keys = _keys(case, rendered, name, shelf)

        def moved(files: dict[str, Content], name: str = name, shelf: Shelf = shelf) -> list[str]:
            return _keys(case, rendered, name, shelf.with_files(files))

        for path in (path for path in shelf.files if path in read):
            assert moved({path: _changed(shelf.files[path])}) != keys, f"{path} was changed"
            assert moved({path: None}) != keys, f"{path} was removed"
        for path in (path for path, id_ in read.paths.items() if id_ is None):
            assert moved({path: "new"}) != keys, f"{path} was added"
        if not read.paths.keys() & {"", COMMIT}:
            assert moved({"not/read/by/anybody.yaml": "new"}) == keys


@pytest.mark.parametrize("case", RENDERED, ids=str)
def test_what_is_not_in_the_read_set_might_as_well_not_be_there(case: Case, shelves: Shelves) -> None:
    repositories = shelves.repositories(case)
    rendered = shelves.rendered(case, repositories)
    named = {case.repository_of(source) for source in case.sources}  # the others are held by their commits
    bare = {
        name: shelf.only({path: shelf.files[path] for path in shelf.files if path in read})
        if name in named
        else shelf
        for name, shelf in repositories.items()
        for read in [_coverage(case, rendered, name)]
    }
    again = shelves.rendered(case, bare)
    replaced = {bare[name].commit: shelf.commit for name, shelf in repositories.items()}
    assert _with_commits(bodies(again), replaced) == bodies(rendered)
    read_again = [
        tuple((path, replaced[id_ or ""] if path == COMMIT else id_) for path, id_ in each.paths)
        for each in again.read_sets
    ]
    assert read_again == [each.paths for each in rendered.read_sets]
    assert [each.remotes for each in again.read_sets] == [each.remotes for each in rendered.read_sets]
    if not any(shelf.commit[:7] in json.dumps(bodies(rendered)) for shelf in repositories.values()):
        assert [each.key for each in again.read_sets] == [each.key for each in rendered.read_sets]


@pytest.mark.parametrize("case", FETCHING, ids=str)
def test_what_is_fetched_is_held_by_its_digest_and_the_rest_of_a_host_by_nothing(
    case: Case, shelves: Shelves
) -> None:
    repositories, wares = shelves.repositories(case), Wares.of(case.folder)
    rendered = shelves.rendered(case, repositories)
    fetched = {digest for read_set in rendered.read_sets for _, digest in read_set.remotes}
    own = {shelf.folder.relative_to(case.folder).as_posix() for shelf in repositories.values()}
    for path in wares.data.keys() - own:
        if wares.digest(path) in fetched:
            again = shelves.rendered(case, repositories, wares.changed(path))
            assert _all_keys(again) != _all_keys(rendered), f"{path} was changed"
        else:
            fewer = wares.without(path)
            again = shelves.rendered(case, shelves.repositories(case, fewer), fewer)
            assert _all_keys(again) == _all_keys(rendered), f"{path} was removed"
            assert bodies(again) == bodies(rendered)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")
@pytest.mark.parametrize("case", TRACED, ids=str)
def test_the_tools_own_command_opens_and_looks_for_nothing_that_is_not_in_the_read_set(
    case: Case, shelves: Shelves, tmp_path: Path
) -> None:
    repositories = shelves.repositories(case)
    rendered = shelves.rendered(case, repositories)
    checkout = _checkout(repositories, tmp_path)
    done, seen = watched(_argv(case), checkout, _environment(case, tmp_path), tmp_path / "strace")
    assert done.returncode == 0, done.stderr.decode()
    assert seen.asked, "the command asked for nothing at all"
    unread = set[str]()
    for name, shelf in repositories.items():
        read = _coverage(case, rendered, name)
        prefix = f"{name}/" if len(repositories) > 1 else ""
        for path in seen.asked | seen.listed:
            own = path.removeprefix(prefix)
            if not path.startswith(prefix) or own.split("/")[0] == ".git":
                continue  # which tools may look for, and which is none of the commit's files
            # The same steps as the kernel's: each link on the way, and what is at the end.
            steps = Files(shelf.tree, shelf.commit)
            steps.find(own)
            for step, id_ in steps.reads.items():
                # A directory that was looked at and not listed is there because of what is in it.
                known = step in read or (id_ and path not in seen.listed and read.leads_to(step))
                if not known:
                    unread.add(f"{prefix}{step}{' (listed)' if path in seen.listed else ''}")
    assert not unread


def _coverage(case: Case, rendered: Rendered, repository: str) -> Coverage:
    return Coverage.of(
        read_set
        for source, read_set in zip(case.sources, rendered.read_sets, strict=True)
        if case.repository_of(source) == repository
    )


def _keys(case: Case, rendered: Rendered, name: str, shelf: Shelf) -> list[str]:
    return [
        read_set.at(shelf.tree.tree_id, shelf.commit).key
        for source, read_set in zip(case.sources, rendered.read_sets, strict=True)
        if case.repository_of(source) == name
    ]


def _all_keys(rendered: Rendered) -> list[str]:
    return [read_set.key for read_set in rendered.read_sets]


def _changed(content: Content) -> Content:
    match content:
        case Symlink(target):
            return Symlink(f"{target}-changed")
        case Gitlink(commit):
            return Gitlink(commit[::-1])
        case Executable(text):
            return text  # no longer to be run
        case bytes() | str():
            return (content if isinstance(content, bytes) else content.encode()) + b"\n"
    raise AssertionError(content)


def _with_commits(objects: list[dict[str, Any]], replaced: dict[str, str]) -> list[dict[str, Any]]:
    """Objects that name a commit, as they would be of another one."""
    text = json.dumps(objects)
    for old, new in replaced.items():
        for length in (40, 8, 7):
            text = text.replace(old[:length], new[:length])
    return list(json.loads(text))


def _checkout(repositories: Mapping[str, Shelf], tmp_path: Path) -> Path:
    """All files of the repository, chart or artifact; of several, a directory with one directory for each."""
    checkout = tmp_path / "checkout"
    for name, shelf in repositories.items():
        shutil.copytree(shelf.folder, checkout / name if len(repositories) > 1 else checkout, symlinks=True)
    return checkout


def _argv(case: Case) -> list[str]:
    program, *arguments = (str(word) for word in case.told["truth"])
    return [str(tool(program, print)) if program in PROGRAMS else program, *arguments]


def _environment(case: Case, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "CASE": str(case.folder)}


def _printed(output: bytes) -> list[dict[str, Any]]:
    """The objects that a tool printed, normalised as ours are."""
    if output.lstrip().startswith(b"["):
        documents = [Document(each, 1) for each in json.loads(output) if each is not None]
    else:
        documents, _ = read_documents(output, "truth")
    return [manifest.body for manifest in manifests_of(documents, "truth")[0]]

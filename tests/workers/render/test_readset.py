"""What a render read, as it is remembered with an application: small, and never blind to a change."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import orjson

from devcluster.gitserver import Repository
from tests.workers.render.trees import trees
from workers.apps.state import LONGEST, State
from workers.render.files import Files
from workers.render.readset import COMMIT, ReadSet, recall, remember


def test_what_is_in_a_directory_that_was_read_goes_without_saying(git_repo: Repository) -> None:
    git_repo.commit({"app/a.yaml": "a", "app/deep/b.yaml": "b", "application.yaml": "c"})
    with trees(git_repo) as tree:
        files = Files(tree, str(git_repo.resolve()))
        for path in ("app", "app/a.yaml", "app/none", "application.yaml", "elsewhere"):
            files.find(path)
        read = ReadSet.of("", files.reads).within(1000, files.ids)
    assert [path for path, _ in read.paths] == ["app", "application.yaml", "elsewhere"]


def test_a_render_that_read_very_much_still_fits_beside_its_application(git_repo: Repository) -> None:
    wide = {f"charts/web/templates/part-{n}/of-many.yaml": str(n) for n in range(2000)}
    before = git_repo.commit({**wide, "values/web.yaml": "x", "other/e.yaml": "e"})
    with trees(git_repo) as tree:
        files = Files(tree, before)
        for path in (*wide, "values/web.yaml", "values/none.yaml"):
            files.find(path)
        whole = ReadSet.of("options", files.reads)
        read = whole.within(LONGEST // 2, files.ids)
        text = State(inputs=remember([read])).to_json()
        assert len(text) < LONGEST < len(State(inputs=remember([whole])).to_json())
        assert recall(State.from_json(text).inputs) == (read,)

        def touched(change: Mapping[str, str | None]) -> bool:
            after = Files(tree, git_repo.commit(change))
            now = after.ids([path for path, _ in read.paths])
            return not read.holds(now)

        assert not touched({"other/e.yaml": "changed"})
        assert touched({"charts/web/templates/part-7/of-many.yaml": "changed"})
        assert touched({"values/none.yaml": "appeared"})


def test_where_manifests_name_the_commit_each_is_another_render(git_repo: Repository) -> None:
    before = git_repo.commit({"app/a.yaml": "a"})
    with trees(git_repo) as tree:
        files = Files(tree, before)
        files.find("app")
        plain = ReadSet.of("", files.reads)
        files.name_commit()
        named = ReadSet.of("", files.reads)
        assert named.within(60, files.ids).paths[-1] == (COMMIT, before), "however little there is room for"
        after = Files(tree, git_repo.commit({"other/e.yaml": "e"}))
    for read, same in ((plain, True), (named, False)):
        assert read.holds(after.ids([path for path, _ in read.paths])) is same
        assert (read.at(tree.tree_id, after.commit) == read) is same
    assert recall(remember([named])) == (named,)


def test_not_even_the_longest_names_are_too_much() -> None:
    def nothing(paths: Collection[str]) -> dict[str, str | None]:
        return dict.fromkeys(paths, "1" * 40)

    long = "x" * 200
    read = ReadSet.of("", {f"{long}{n}/{long}/{long}": "0" * 40 for n in range(500)}).within(1000, nothing)
    assert read.paths == (("", "1" * 40),)
    assert orjson.loads(remember([read]))[0]["paths"] == {"": "1" * 40}

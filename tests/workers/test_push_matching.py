"""Which applications a push concerns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mooring.delivery import Event, EventKind, RefChange
from mooring.model.application import Application
from mooring.model.spec import Source, SourceHydrator
from workers.push import concerned, groups, positions

REPO = "https://git.example.com/team/shop"
COMMIT = "a" * 40


def app(name: str = "shop", repo: str = REPO, revision: str = "main", **source: Any) -> Application:
    spec = {
        "project": "default",
        "destination": {"server": "https://kubernetes.default.svc", "namespace": name},
        "source": {"repoURL": repo, "path": name, "targetRevision": revision, **source},
    }
    return Application.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name, "namespace": "mooring"},
            "spec": spec,
        }
    )


def push(
    ref: str = "refs/heads/main", commit: str | None = COMMIT, repo: str = REPO, default: str = "main"
) -> Event:
    return Event("github", EventKind.PUSH, "push", "d", (repo,), (RefChange(ref, commit),), default)


def found(event: Event, *apps: Application) -> dict[str, int]:
    return {wanted.revision: len(keys) for wanted, keys in concerned(event, apps).items()}


def test_apps_that_follow_one_branch_are_one_group() -> None:
    (wanted,) = concerned(push(), [app("a"), app("b"), app("c", revision="other")])
    assert (wanted.revision, wanted.hint) == ("main", COMMIT)
    assert [key.name for key in concerned(push(), [app("a"), app("b")])[wanted]] == ["a", "b"]
    assert groups(app("a")) == groups(app("b")), "whatever path they take from it"


def test_repositories_are_compared_as_a_person_would() -> None:
    for spelling in (
        "git@git.example.com:team/shop.git",
        "ssh://git@git.example.com/team/shop",
        "https://user:secret@GIT.example.com/team/shop/",
    ):
        assert found(push(), app(repo=spelling)) == {"main": 1}
        assert found(push(repo=spelling), app()) == {"main": 1}
        assert groups(app(repo=spelling)) == groups(app())
    assert found(push(), app(repo="https://git.example.com/team/shop2")) == {}


def test_a_bitbucket_server_that_sends_no_links_is_matched_by_project_and_repository() -> None:
    event = replace(push(), host="bitbucket-server", repo_urls=(), repo_path="team/shop")
    for spelling in (
        "https://git.example.com/scm/team/shop.git",
        "https://git.example.com/bitbucket/scm/TEAM/shop.git",
        "ssh://git@git.example.com:7999/team/shop.git",
    ):
        assert found(event, app(repo=spelling)) == {"main": 1}
    for other in (
        "https://git.example.com/scm/team/shop2.git",
        "https://git.example.com/scm/myteam/shop.git",
        "https://git.example.com/scm/team/shop/shop.git",
        "https://git.example.com/group/team/shop.git",
        "team/shop",
    ):
        assert found(event, app(repo=other)) == {}


def test_no_credential_of_a_url_is_in_a_group() -> None:
    (wanted,) = groups(app(repo="https://user:secret@git.example.com/team/shop"))
    assert "secret" not in repr(wanted)


def test_head_and_nothing_mean_the_default_branch() -> None:
    assert found(push(), app(revision=""), app("b", revision="HEAD")) == {"HEAD": 2}
    assert found(push("refs/heads/other"), app(revision="")) == {}
    assert found(push("refs/heads/other", default=""), app(revision="")) == {"HEAD": 1}, "it may be the one"


def test_tags_and_ranges_are_followed() -> None:
    assert found(push("refs/tags/v1.2.3"), app(revision="v1.2.3"), app("b", revision="1.*")) == {
        "v1.2.3": 1,
        "1.*": 1,
    }
    assert found(push("refs/tags/v2.0.0"), app(revision="1.*")) == {}


def test_a_pinned_commit_is_moved_by_no_push() -> None:
    assert found(push(), app(revision=COMMIT)) == {}


def test_pull_requests_and_other_refs_concern_nobody() -> None:
    assert found(push("refs/pull/1/head"), app(), app("b", revision="")) == {}


def test_a_deleted_branch_gives_no_hint() -> None:
    (wanted,) = concerned(push(commit=None), [app()])
    assert wanted.hint == ""


def several(*sources: Source) -> Application:
    one = app()
    return one.model_copy(update={"spec": one.spec.model_copy(update={"sources": sources})})


def test_no_push_concerns_a_chart_or_an_artifact_though_its_address_be_a_repositorys() -> None:
    assert found(push(), app(chart="web")) == {}
    assert found(push(repo="oci://git.example.com/shop"), app(repo="oci://git.example.com/shop")) == {}
    (chart,), (other,), (git,) = groups(app(chart="web")), groups(app(chart="db")), groups(app())
    assert len({chart.name, other.name, git.name}) == 3, "each is asked for by itself"
    assert (chart.pushed, git.pushed) == (False, True)
    assert (chart.wishes["chart"], "chart" in git.wishes) == ("web", False)


def test_an_app_of_several_sources_follows_each_and_a_push_is_about_its_own() -> None:
    web = Source(repo_url=REPO, path="web", target_revision="main")
    db = Source(
        repo_url=f"git@git.example.com:{REPO.partition('com/')[2]}.git", path="db", target_revision="main"
    )
    values = Source(repo_url="https://git.example.com/team/values", ref="values")
    of = several(web, values, db)
    first, second = groups(of)
    assert [positions(of, wanted.name) for wanted in (first, second)] == [(0, 2), (1,)]
    assert positions(of, "push:of others") == ()
    assert found(push(), of) == {"main": 1}
    assert found(push(repo="https://git.example.com/team/values"), of) == {"HEAD": 1}
    assert found(push("refs/heads/other"), of) == {}


def test_what_a_hydrator_writes_is_not_followed() -> None:
    raw = {
        "drySource": {"repoURL": REPO, "targetRevision": "main", "path": "."},
        "syncSource": {"targetBranch": "env", "path": "."},
    }
    one = app()
    spec = one.spec.model_copy(update={"source_hydrator": SourceHydrator.model_validate(raw)})
    assert groups(one.model_copy(update={"spec": spec})) == ()


@given(
    st.lists(st.text(max_size=40), max_size=3),
    st.text(max_size=30),
    st.text(max_size=50),
    st.text(max_size=10),
)
def test_nothing_that_a_host_sends_makes_matching_fail(
    urls: list[str], ref: str, commit: str, default: str
) -> None:
    event = Event("github", EventKind.PUSH, "push", "d", tuple(urls), (RefChange(ref, commit),), default)
    for wanted in concerned(event, [app(), app("b", revision=">=1"), app("c", repo="what is this")]):
        assert wanted.name.startswith("push:")

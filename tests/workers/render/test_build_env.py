"""What parameters may name of their Application, and what stands there instead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mooring.model.spec import Source
from workers.git.tree import Entry
from workers.render.build_env import build_env, names_revision, substitute
from workers.render.files import Files
from workers.render.source import App, Capabilities, Job, Nothing, Parameters

COMMIT = "f913b6cbf58aa5ae5ca1f8a2b149477aebcbd9d8"


class _NoFiles:
    shaped_by = ()

    def tree_id(self, commit: str, path: str) -> str | None:
        return None

    def walk(self, commit: str, path: str = "", recurse: bool = True) -> Iterator[Entry]:
        return iter(())

    def read_many(self, ids: object, limit: int) -> dict[str, bytes]:
        return {}

    def prepare(self, ids: object) -> None: ...


def a_job(asked: list[str] | None = None) -> Job:
    def capabilities() -> Capabilities:
        (asked if asked is not None else []).append("asked")
        return Capabilities("v1.33.1+k3s1", ("v1", "apps/v1", "apps/v1/Deployment"))

    return Job(
        app=App("guestbook", "mooring", "team", "web"),
        source=Source(
            repo_url="https://joe:hunter2@example.com/team/apps.git",
            path="guestbook/",
            target_revision="main",
        ),
        files=Files(_NoFiles(), COMMIT),
        fetch=Nothing(),
        parameters=Parameters(capabilities=capabilities),
    )


def test_a_tool_is_told_of_its_application_what_argo_cd_tells() -> None:
    assert dict(build_env(a_job())) == {
        "ARGOCD_APP_NAME": "guestbook",
        "ARGOCD_APP_NAMESPACE": "web",
        "ARGOCD_APP_PROJECT_NAME": "team",
        "ARGOCD_APP_REVISION": COMMIT,
        "ARGOCD_APP_REVISION_SHORT": "f913b6c",
        "ARGOCD_APP_REVISION_SHORT_8": "f913b6cb",
        "ARGOCD_APP_SOURCE_PATH": "guestbook/",
        "ARGOCD_APP_SOURCE_REPO_URL": "https://example.com/team/apps.git",
        "ARGOCD_APP_SOURCE_TARGET_REVISION": "main",
        "KUBE_VERSION": "1.33.1",
        "KUBE_API_VERSIONS": "v1,apps/v1,apps/v1/Deployment",
    }


def test_the_cluster_is_asked_only_where_its_version_is_named() -> None:
    asked: list[str] = []
    env = build_env(a_job(asked))
    assert substitute("$ARGOCD_APP_NAME $NOBODY", env) == "guestbook "
    assert asked == []
    assert substitute("$KUBE_VERSION", env) == "1.33.1"
    assert asked == ["asked"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("app-$ARGOCD_APP_NAME-x", "app-guestbook-x"),
        ("${ARGOCD_APP_NAME}_x", "guestbook_x"),
        ("$ARGOCD_APP_NAME_x", ""),
        ("$$ARGOCD_APP_NAME", "$ARGOCD_APP_NAME"),
        ("$${ARGOCD_APP_NAME}", "${ARGOCD_APP_NAME}"),
        ("$$$ARGOCD_APP_NAME", "$guestbook"),
        ("$UNKNOWN|${UNKNOWN}", "|"),
        ("$1st", "st"),
        ("${}x", "x"),
        ("a}${ARGOCD_APP_NAME", "a}ARGOCD_APP_NAME"),
        ("costs 5$", "costs 5$"),
        ("$.Values", "$.Values"),
        ("$é", "$é"),
    ],
)
def test_names_are_replaced_as_argo_cd_does(text: str, expected: str) -> None:
    assert substitute(text, build_env(a_job())) == expected


def test_text_of_open_braces_is_done_at_once() -> None:
    assert substitute("}" + "${" * 1_000_000, {}) == "}"


@pytest.mark.parametrize(
    ("text", "depends"),
    [
        ("$ARGOCD_APP_REVISION", True),
        ("v-${ARGOCD_APP_REVISION_SHORT}", True),
        ("$ARGOCD_APP_REVISION_SHORT_8", True),
        ("$$ARGOCD_APP_REVISION", False),
        ("ARGOCD_APP_REVISION $ARGOCD_APP_NAME", False),
        ("$ARGOCD_APP_REVISIONS", False),
        ("$ARGOCD_APP_SOURCE_TARGET_REVISION", False),
    ],
)
def test_what_names_the_commit_is_another_render_at_each_commit(text: str, depends: bool) -> None:
    assert names_revision(["nothing", text]) is depends

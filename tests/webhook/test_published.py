"""What hosts really sent, as others published it: every delivery is verified and understood."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from mooring.delivery import Delivery, EventKind
from mooring.repourl import normalise
from mooring.settings_web import HOSTS, Secret, WebSettings
from mooring.store.connection import connect
from mooring.store.ledger import Ledger
from tests.webhook import payloads, published
from tests.webhook.published import Published
from webhook import hosts
from webhook.app import create_app

# Every published delivery that says that a ref moved, and what it says.
PUSHES = {
    "azure-devops: go-scm push": (
        "push dev.azure.com/fabrikam-fiber-inc/defaultcollection/_git/fabrikam-fiber-git heads/master@33b55f7"
    ),
    "azure-devops: webhooks git.push": (
        "push dev.azure.com/fabrikam-fiber-inc/defaultcollection/_git/fabrikam-fiber-git heads/main@33b55f7"
    ),
    "bitbucket-server: go-scm push": "push prj/my-repo heads/master@823b223",
    "bitbucket-server: go-scm push_branch_create": "push prj/my-repo heads/develop@208b0a5",
    "bitbucket-server: go-scm push_branch_delete": "push prj/my-repo heads/develop@gone",
    "bitbucket-server: go-scm push_tag_create": "tag prj/my-repo tags/v1.1.0@823b223",
    "bitbucket-server: go-scm push_tag_delete": "tag prj/my-repo tags/v1.1.0@gone",
    "bitbucket-server: go-scm push_v5": (
        "push iscloud/transamerica.cloud.individual.tftest heads/trangineni/devtfvars-1685475548410@51a3366"
    ),
    "bitbucket-server: webhooks repo-refs-changed": (
        "push ssh://server.bitbucket.local:7999/~gopher/webhook-test "
        "server.bitbucket.local/scm/~gopher/webhook-test heads/feature/wip@gone"
    ),
    "bitbucket: go-scm push": "push bitbucket.org/brydzewski/foo heads/master@141977f",
    "bitbucket: go-scm push_branch_create": "push bitbucket.org/brydzewski/foo heads/develop@141977f",
    "bitbucket: go-scm push_branch_delete": "push bitbucket.org/brydzewski/foo heads/develop@gone",
    "bitbucket: go-scm push_tag_create": "tag bitbucket.org/brydzewski/foo tags/feature/x@141977f",
    "bitbucket: go-scm push_tag_delete": "tag bitbucket.org/brydzewski/foo tags/feature/x@gone",
    "bitbucket: webhooks repo-push": (
        "push api.bitbucket.org/bitbucket/bitbucket heads/name-of-branch@709d658"
    ),
    "gitea: go-scm branch_delete": (
        "push try.gitea.io/gogits/hello-world localhost/gogits/hello-world heads/feature@gone"
    ),
    "gitea: go-scm push": (
        "push try.gitea.io/gogits/hello-world localhost/gogits/hello-world heads/master@4522cbc"
    ),
    "gitea: go-scm tag_delete": (
        "tag try.gitea.io/gogits/hello-world localhost/gogits/hello-world tags/v1.0.0@gone"
    ),
    "gitea: webhooks delete-event": (
        "push localhost:3000/example/example localhost/example/example heads/example3@gone"
    ),
    "gitea: webhooks push-event": (
        "push localhost:3000/example/example localhost/example/example heads/master@67b5658"
    ),
    "github: go-scm push": "push github.com/codertocat/hello-world heads/master@199eddf",
    "github: go-scm push_branch_create": (
        "push github.com/bradrydzewski/drone-test-go heads/feature-branch@d2b75aa"
    ),
    "github: go-scm push_branch_delete": (
        "push github.com/bradrydzewski/drone-test-go heads/feature-branch@gone"
    ),
    "github: go-scm push_tag": "tag github.com/bradrydzewski/drone-test-go tags/v0.0.1@d2b75aa",
    "github: go-scm push_tag_delete": "tag github.com/bradrydzewski/drone-test-go tags/v0.0.1@gone",
    "github: webhooks push": "push github.com/binkkatal/sample_app heads/master@fd48986",
    "gitlab: client-go systemhooks/push": "push example.com/mike/diaspora heads/master@da15608",
    "gitlab: client-go systemhooks/tag_push": "tag example.com/jsmith/example tags/v1.0.0@82b3d5a",
    "gitlab: client-go webhooks/push": "push example.com/mike/diaspora heads/master@da15608",
    "gitlab: client-go webhooks/tag_push": "tag example.com/jsmith/example tags/v1.0.0@82b3d5a",
    "gitlab: go-scm branch_create": "push gitlab.com/gitlab-org/hello-world heads/feature@c4c7922",
    "gitlab: go-scm branch_delete": "push gitlab.com/gitlab-org/hello-world heads/feature@gone",
    "gitlab: go-scm push": "push gitlab.com/gitlab-org/hello-world heads/master@2adc946",
    "gitlab: go-scm tag_create": "tag gitlab.com/gitlab-org/hello-world tags/v1.0.0@2adc946",
    "gitlab: go-scm tag_delete": "tag gitlab.com/gitlab-org/hello-world tags/v1.0.0@gone",
    "gitlab: webhooks push-event": "push example.com/mike/diaspora heads/master@da15608",
    "gitlab: webhooks system-push-event": "push example.com/mike/diaspora heads/master@da15608",
    "gitlab: webhooks system-tag-event": "tag example.com/jsmith/example tags/v1.0.0@82b3d5a",
    "gitlab: webhooks tag-event": "tag example.com/jsmith/example tags/v1.0.0@82b3d5a",
    "gogs: go-scm branch_delete": (
        "push try.gogs.io/gogits/hello-world localhost/gogits/hello-world heads/feature@gone"
    ),
    "gogs: go-scm push": (
        "push try.gogs.io/gogits/hello-world localhost/gogits/hello-world heads/master@4522cbc"
    ),
    "gogs: go-scm tag_delete": (
        "tag try.gogs.io/gogits/hello-world localhost/gogits/hello-world tags/v1.0.0@gone"
    ),
    "gogs: webhooks delete-event": "push gogs.example.com/user/repo heads/obsolete-branch@gone",
    "gogs: webhooks push-event": (
        "push localhost:3000/unknwon/webhooks ssh://localhost:2222/unknwon/webhooks heads/develop@bffeb74"
    ),
}


@pytest.fixture
def web(redis_url: str) -> FlaskClient:
    """A web tier that has all the secrets with which the published deliveries were signed."""
    secrets = {
        host: tuple(
            {Secret(each.request.secret): None for each in published.deliveries() if each.host == host}
        )
        for host in HOSTS
    }
    return create_app(WebSettings(redis_url=redis_url, secrets=secrets)).test_client()


@pytest.mark.parametrize("host", HOSTS)
def test_every_published_delivery_is_understood(
    host: str, web: FlaskClient, redis_url: str, redis_client: redis.Redis
) -> None:
    ledger = Ledger(connect(redis_url))
    pushes, pull_requests = {}, set()
    for each in (delivery for delivery in published.deliveries() if delivery.host == host):
        redis_client.flushdb()  # many were published under one id
        request = each.request
        response = web.post(f"/webhooks/{host}", data=request.body, headers=request.headers, buffered=True)
        answer = response.get_json()
        if each.event == "ping":
            assert (response.status_code, answer) == (200, {"message": "pong"}), each
            continue
        assert response.status_code == 202, (each, answer)
        if "id" not in answer:
            assert answer["message"].startswith("ignored: "), each
            continue
        kept = ledger.get(answer["id"])
        assert kept is not None
        if kept.event.kind is EventKind.PULL_REQUEST:
            pull_requests.add(each.name)
            assert kept.event.repositories, each
        else:
            pushes[each.name] = told(kept)

    assert pushes == {name: said for name, said in PUSHES.items() if name.startswith(f"{host}: ")}
    assert pull_requests


def told(delivery: Delivery) -> str:
    """A push in one line: kind, repository, refs."""
    event = delivery.event
    where = dict.fromkeys(normalise(name).removeprefix("https://") for name in event.repositories)
    moved = (f"{c.ref.removeprefix('refs/')}@{(c.commit or 'gone')[:7]}" for c in event.changes)
    return " ".join([event.kind, *where, *moved])


# Azure DevOps and GitLab's plain token prove who sends, not what is sent.
_SIGNING = {host: payloads.SECRETS[host] for host in HOSTS if host != "azure-devops"} | {
    "gitlab": payloads.SIGNING_TOKEN
}


@pytest.mark.parametrize("host", _SIGNING)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_changed_byte_of_a_published_delivery_is_refused(
    host: str, data: st.DataObject, redis_url: str
) -> None:
    secret = _SIGNING[host]
    web = create_app(WebSettings(redis_url=redis_url, secrets={host: (Secret(secret),)})).test_client()
    each = data.draw(st.sampled_from([each for each in published.deliveries() if each.host == host]))
    body = each.request.body
    headers = payloads.sign(host, secret, body, payloads.event_headers(host, each.event, each.name[:20]))
    place = data.draw(st.integers(0, len(body) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != body[place]))
    changed = body[:place] + bytes([byte]) + body[place + 1 :]

    response = web.post(f"/webhooks/{host}", data=changed, headers=headers, buffered=True)
    assert response.status_code == 401
    assert hosts.BY_NAME[host].verify(Headers(headers), body, (secret,))


def test_githubs_documented_signature_verifies() -> None:
    # https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = Headers({"X-Hub-Signature-256": f"sha256={digest}"})
    secret = b"It's a Secret to Everybody"
    assert hosts.BY_NAME["github"].verify(headers, b"Hello, World!", (secret,))
    assert not hosts.BY_NAME["github"].verify(headers, b"Hello, World?", (secret,))


def test_bitbuckets_documented_signature_verifies() -> None:
    # https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Test-signature-validation
    digest = "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
    for host in ("bitbucket", "bitbucket-server"):
        verify = hosts.BY_NAME[host].verify
        headers = Headers({"X-Hub-Signature": f"sha256={digest}"})
        assert verify(headers, b"Hello World!", (b"It's a Secret to Everybody",))
        assert not verify(headers, b"Hello World?", (b"It's a Secret to Everybody",))


def test_the_documented_signature_of_gitlabs_scheme_verifies() -> None:
    # https://docs.svix.com/receiving/verifying-payloads/how-manual, which the scheme comes from.
    headers = Headers(
        {
            "webhook-id": "msg_loFOjxBNrRLzqYUf",
            "webhook-timestamp": "1731705121",
            "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        }
    )
    body, secret = b'{"event_type":"ping","data":{"success":true}}', b"whsec_plJ3nmyCDGBKInavdOK15jsl"
    verify = hosts.BY_NAME["gitlab"].verify
    assert verify(headers, body, (secret,))
    assert not verify(headers, body + b" ", (secret,))


_READ = (
    *(
        "ref",
        "after",
        "before",
        "repository",
        "project",
        "object_kind",
        "event_name",
        "push",
        "changes",
        "new",
    ),
    *(
        "old",
        "target",
        "hash",
        "type",
        "name",
        "links",
        "html",
        "self",
        "clone",
        "href",
        "eventType",
        "resource",
    ),
    *("refUpdates", "newObjectId", "oldObjectId", "remoteUrl", "toHash", "fromHash", "refId", "id", "slug"),
    *("key", "clone_url", "ssh_url", "html_url", "git_http_url", "web_url", "default_branch", "mainbranch"),
    *("sender", "actor", "login", "nickname", "user", "username", "pullRequest", "toRef", "ref_type"),
    *("subscriptionId", "notificationId", "pushedBy", "uniqueName", "defaultBranch"),
)
_PLACES = tuple[str | int, ...]


def places(document: Any, at: _PLACES = ()) -> Iterator[_PLACES]:
    """Where `document` has something that a reader of webhooks looks at, from the outside in."""
    yield at
    inside: Iterable[tuple[str | int, Any]] = document.items() if isinstance(document, dict) else ()
    inside = enumerate(document) if isinstance(document, list) else inside
    for name, value in inside:
        if isinstance(name, int) or name in _READ:
            yield from places(value, (*at, name))


def changed(document: Any, at: _PLACES, change: Callable[[Any], Any]) -> Any:
    """`document` with what is at `at` changed; dropped when the change is to `_GONE`."""
    if not at:
        return change(document)
    copy: Any = dict(document) if isinstance(document, dict) else list(document)
    value = changed(copy[at[0]], at[1:], change)
    if value is _GONE:
        del copy[at[0]]
    else:
        copy[at[0]] = value
    return copy


def many(value: Any) -> list[Any]:
    """More of it than anybody sends; what is much already does not become more than may be sent."""
    return [value] * (300 if len(json.dumps(value)) < 10_000 else 1)


_GONE = object()
_ANYTHING: list[Any] = [
    *(None, True, 0, -1, 2**53, 10**30, 1.5, 1e308, "", " ", "\n", "\x00", "\ud800", "é" * 300, "x" * 5000),
    *([], {}, [None], [[]], [{}], {"": None}, "0" * 40, "refs/heads/", "refs/heads/-x", "refs/heads/a\n"),
    *("https://", "https://[::1", "https://a@b@c/d", "git@:x", "//", "file:///etc/passwd", "--upload-pack=x"),
]
_CHANGES: list[Callable[[Any], Any]] = [
    lambda value: _GONE,
    lambda value: [value],
    lambda value: {"name": value},
    lambda value: str(value),
    many,
    *(lambda value, other=other: other for other in _ANYTHING),
]


@pytest.mark.parametrize("host", HOSTS)
@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_becomes_of_a_published_delivery_it_is_taken_or_a_problem(
    host: str, data: st.DataObject, web: FlaskClient
) -> None:
    each = data.draw(st.sampled_from(_with_refs(host)))
    document = json.loads(each.request.body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(list(places(document))[1:] or [()]))
        document = changed(document, at, data.draw(st.sampled_from(_CHANGES)))
        if document is _GONE or not isinstance(document, dict | list):
            break
    body = json.dumps(None if document is _GONE else document).encode()
    headers = payloads.event_headers(host, each.event, str(data.draw(st.integers(0, 10**9))))
    secret = each.request.secret

    response = web.post(
        f"/webhooks/{host}", data=body, headers=payloads.sign(host, secret, body, headers), buffered=True
    )

    assert is_taken_or_a_problem(response)


@cache
def _with_refs(host: str) -> list[Published]:
    pushes = [each for each in published.deliveries() if each.name in PUSHES]
    other = [each for each in published.deliveries() if each.event in payloads.PULL_REQUEST_EVENT.values()]
    return [each for each in (*pushes, *other) if each.host == host]


def is_taken_or_a_problem(response: TestResponse) -> bool:
    """Whether it is 200, 202 or a client's error of one line."""
    if response.status_code in (200, 202):
        return True
    problem = response.get_json(force=True)
    return (
        response.status_code in (400, 401)
        and response.mimetype == "application/problem+json"
        and problem["status"] == response.status_code
        and "\n" not in problem["detail"]
    )

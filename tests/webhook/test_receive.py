"""What a Git host meets at `POST /webhooks/…`, told with a real Redis behind it."""

from __future__ import annotations

import base64
import gzip
import ipaddress
import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse, create_environ, run_wsgi_app

from devcluster.redis import RedisServer
from mooring.delivery import DeliveryState, Event, EventKind
from mooring.names import TASK_DELIVER
from mooring.settings_web import HOSTS, Secret, WebSettings, secret_variable
from mooring.store.connection import connect
from mooring.store.ledger import Ledger
from tests.deliveries import known
from tests.webhook import payloads
from tests.webhook.payloads import NEW, OLD, SECRETS, ZEROS, Sent
from webhook.app import create_app
from webhook.hosts import BY_NAME

_deliveries = (f"delivery-{n}" for n in itertools.count())

Start = Callable[..., FlaskClient]


@pytest.fixture
def start(redis_url: str) -> Start:
    """A web tier with every host's secret, and with the settings that a story changes."""

    def begin(**changes: Any) -> FlaskClient:
        secrets = {host: (Secret(secret),) for host, secret in SECRETS.items()}
        settings = WebSettings(redis_url=redis_url, secrets=secrets)
        return create_app(replace(settings, **changes)).test_client()

    return begin


@pytest.fixture
def web(start: Start) -> FlaskClient:
    return start()


@pytest.fixture
def ledger(redis_url: str) -> Ledger:
    return Ledger(connect(redis_url))


def post(web: FlaskClient, path: str, request: Sent, **more: Any) -> TestResponse:
    return web.post(path, data=request.body, headers=request.headers, buffered=True, **more)


def deliver(web: FlaskClient, request: Sent, host: str = "github", **more: Any) -> TestResponse:
    return post(web, f"/webhooks/{host}", request, **more)


def push(host: str = "github", **changes: Any) -> Sent:
    return payloads.push(host, changes.pop("delivery", next(_deliveries)), **changes)


def is_problem(response: TestResponse, status: int, *words: str) -> bool:
    content = response.get_json(force=True)
    return (
        response.status_code == status == content["status"]
        and response.mimetype == "application/problem+json"
        and "\n" not in content["detail"]
        and all(word in content["detail"] for word in words)
    )


@pytest.mark.parametrize("host", HOSTS)
def test_a_signed_push_is_written_down_and_enqueued(
    host: str, web: FlaskClient, ledger: Ledger, redis_client: redis.Redis
) -> None:
    response = deliver(web, push(host), host)

    assert response.status_code == 202
    kept = ledger.get(response.get_json()["id"])
    assert kept is not None
    assert kept.state is DeliveryState.ENQUEUED
    assert (kept.event.host, kept.event.kind) == (host, EventKind.PUSH)
    (change,) = kept.event.changes
    assert (change.ref, change.commit, change.before) == ("refs/heads/main", NEW, OLD)
    assert any("git.example.com" in url for url in kept.event.repo_urls)
    assert kept.event.sender == "ada"
    (task,) = (orjson.loads(line) for line in redis_client.lrange("mooring:queue:intake", 0, -1))
    assert task["headers"]["task"] == TASK_DELIVER
    assert orjson.loads(task["body"])[0] == [kept.id]
    assert task["headers"]["argsrepr"] == f"['{kept.id}']"


@pytest.mark.parametrize("path", ["/webhooks", "/api/webhook"])
@pytest.mark.parametrize("host", HOSTS)
def test_the_host_is_told_by_its_headers(host: str, path: str, web: FlaskClient, ledger: Ledger) -> None:
    response = post(web, path, push(host))
    assert response.status_code == 202
    assert known(ledger, response.get_json()["id"]).event.host == host


@pytest.mark.parametrize("host", HOSTS)
def test_a_tag_and_a_deleted_branch_are_told_apart(host: str, web: FlaskClient, ledger: Ledger) -> None:
    tag = deliver(web, push(host, ref="refs/tags/v1.2"), host).get_json()["id"]
    gone = deliver(web, push(host, after=ZEROS), host).get_json()["id"]

    tagged, deleted = ledger.get(tag), ledger.get(gone)

    assert tagged is not None and deleted is not None
    assert (tagged.event.kind, tagged.event.changes[0].ref) == (EventKind.TAG, "refs/tags/v1.2")
    assert (deleted.event.kind, deleted.event.changes[0].commit) == (EventKind.PUSH, None)


def test_a_push_of_several_refs_keeps_them_all(web: FlaskClient, ledger: Ledger) -> None:
    payload = payloads.push_json("bitbucket")
    tag = {"type": "tag", "name": "v2", "target": {"hash": NEW}}
    payload["push"]["changes"].append({"old": None, "new": tag})
    response = deliver(web, payloads.sent("bitbucket", "repo:push", payload, next(_deliveries)), "bitbucket")

    kept = ledger.get(response.get_json()["id"])

    assert kept is not None
    assert kept.event.kind is EventKind.PUSH
    assert [change.ref for change in kept.event.changes] == ["refs/heads/main", "refs/tags/v2"]


def test_a_branch_deleted_at_gitea_is_told_by_its_own_event(web: FlaskClient, ledger: Ledger) -> None:
    payload = payloads.push_json("gitea") | {"ref": "feature/x", "ref_type": "branch"}
    response = deliver(web, payloads.sent("gitea", "delete", payload, next(_deliveries)), "gitea")
    (change,) = known(ledger, response.get_json()["id"]).event.changes
    assert (change.ref, change.commit) == ("refs/heads/feature/x", None)


def test_an_old_bitbucket_server_that_names_only_its_page_is_understood(
    web: FlaskClient, ledger: Ledger
) -> None:
    payload = payloads.push_json("bitbucket-server")
    payload["repository"]["links"] = {
        "self": [{"href": "https://git.example.com/ctx/projects/ACME/repos/shop/browse"}]
    }
    request = payloads.sent("bitbucket-server", "repo:refs_changed", payload, next(_deliveries))
    id = deliver(web, request, "bitbucket-server").get_json()["id"]
    assert known(ledger, id).event.repo_urls == ("https://git.example.com/ctx/scm/acme/shop.git",)


def test_a_form_from_github_is_read_as_json_is(web: FlaskClient) -> None:
    body = (
        "payload=" + "".join(f"%{byte:02x}" for byte in json.dumps(payloads.push_json("github")).encode())
    ).encode()
    headers = payloads.event_headers("github", "push", next(_deliveries))
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    request = Sent(payloads.sign("github", SECRETS["github"], body, headers), body)
    assert deliver(web, request).status_code == 202


def test_a_bitbucket_server_that_sends_no_links_is_known_by_project_and_repository(
    start: Start, ledger: Ledger
) -> None:
    payload = payloads.push_json("bitbucket-server")
    del payload["repository"]["links"]

    def kept(web: FlaskClient, secret: bytes) -> Event:
        request = payloads.sent("bitbucket-server", "repo:refs_changed", payload, next(_deliveries), secret)
        delivery = ledger.get(deliver(web, request, "bitbucket-server").get_json()["id"])
        assert delivery is not None
        return delivery.event

    event = kept(start(), payloads.SECRET)
    assert (event.repo_urls, event.repo_path) == ((), "acme/shop")

    # A secret of one repository says which one it is, and vouches for no other.
    shops = Secret(b"shops", "https://git.example.com/scm/acme/shop.git")
    banks = Secret(b"banks", "https://git.example.com/scm/acme/bank.git")
    web = start(secrets={"bitbucket-server": (shops, banks)})
    event = kept(web, b"shops")
    assert (event.repo_urls, event.repo_path) == (("https://git.example.com/scm/acme/shop",), "")
    forged = payloads.sent("bitbucket-server", "repo:refs_changed", payload, next(_deliveries), b"banks")
    assert is_problem(deliver(web, forged, "bitbucket-server"), 401)

    payload["repository"]["slug"] = "../shop"
    nowhere = payloads.sent("bitbucket-server", "repo:refs_changed", payload, next(_deliveries))
    assert is_problem(deliver(start(), nowhere, "bitbucket-server"), 400, "names no repository")


@pytest.mark.parametrize("host", ["github", "gitea", "gogs"])
def test_a_ping_is_answered_and_not_kept(host: str, web: FlaskClient, ledger: Ledger) -> None:
    response = deliver(web, payloads.sent(host, "ping", {"zen": "…", "hook_id": 1}), host)
    assert (response.status_code, response.get_json()) == (200, {"message": "pong"})
    assert ledger.recent(1) == ()


def test_bitbucket_servers_test_button_which_signs_nothing_is_answered(web: FlaskClient) -> None:
    request = Sent({"X-Event-Key": "diagnostics:ping", "X-Request-Id": "1"}, b'{"test": true}')
    assert deliver(web, request, "bitbucket-server").status_code == 200


@pytest.mark.parametrize("host", HOSTS)
def test_other_events_are_ignored_by_name(host: str, web: FlaskClient, ledger: Ledger) -> None:
    response = deliver(web, payloads.ignored(host), host)
    assert response.status_code == 202
    assert response.get_json() == {"message": f"ignored: {payloads.IGNORED_EVENT[host]}"}
    assert ledger.recent(1) == ()


@pytest.mark.parametrize("host", HOSTS)
def test_a_pull_request_is_recorded(host: str, web: FlaskClient, ledger: Ledger) -> None:
    response = deliver(web, payloads.pull_request(host, next(_deliveries)), host)
    assert response.status_code == 202
    assert known(ledger, response.get_json()["id"]).event.kind is EventKind.PULL_REQUEST


@pytest.mark.parametrize("host", HOSTS)
def test_a_wrong_or_missing_proof_is_refused(host: str, web: FlaskClient, ledger: Ledger) -> None:
    wrong = push(host, secret=b"user:another secret")
    none = replace(wrong, headers=payloads.event_headers(host, payloads.PUSH_EVENT[host], "1"))
    assert is_problem(deliver(web, wrong, host), 401, f"none of the secrets that are set here for {host}")
    missing = set(wrong.headers) - set(none.headers)
    named = [name for name in missing if name in BY_NAME[host].PROOF]
    assert named, "what the host really sends is what the answer names"
    assert is_problem(deliver(web, none, host), 401, f"set a secret at {host}")
    assert is_problem(deliver(web, none, host), 401, f"carries no {' or '.join(BY_NAME[host].PROOF)}")
    assert ledger.recent(1) == ()


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_without_a_secret_is_refused_naming_the_setting(host: str, start: Start) -> None:
    web = start(secrets={})
    assert is_problem(deliver(web, push(host), host), 403, secret_variable(host))


def test_unsigned_deliveries_are_taken_only_where_allowed_and_no_secret_is_set(start: Start) -> None:
    unsigned = replace(push("gogs"), headers=payloads.event_headers("gogs", "push", "1"))
    assert deliver(start(secrets={}, allow_unsigned=frozenset({"gogs"})), unsigned, "gogs").status_code == 202
    assert deliver(start(allow_unsigned=frozenset({"gogs"})), unsigned, "gogs").status_code == 401


@pytest.mark.parametrize("host", HOSTS)
def test_while_a_secret_is_rotated_both_are_valid(host: str, start: Start) -> None:
    web = start(secrets={host: (Secret(b"user:old"), Secret(b"user:new"))})
    for secret in (b"user:old", b"user:new"):
        assert deliver(web, push(host, secret=secret), host).status_code == 202
    assert deliver(web, push(host, secret=b"user:other"), host).status_code == 401


def test_a_repositorys_own_secret_vouches_for_that_repository_alone(start: Start, ledger: Ledger) -> None:
    web = start(secrets={"github": (Secret(b"shops", "https://git.example.com/acme/shop"), Secret(b"all"))})
    assert deliver(web, push(repo="acme/shop", secret=b"shops")).status_code == 202
    assert deliver(web, push(repo="acme/bank", secret=b"all")).status_code == 202
    assert deliver(web, push(repo="acme/bank", secret=b"shops")).status_code == 401

    forged = payloads.push_json("github", repo="acme/shop")
    forged["repository"]["clone_url"] = "https://git.example.com/acme/bank.git"
    response = deliver(web, payloads.sent("github", "push", forged, next(_deliveries), b"shops"))
    assert response.status_code == 202
    urls = known(ledger, response.get_json()["id"]).event.repo_urls
    assert all("bank" not in url for url in urls)


def test_gitlabs_signature_is_checked_where_we_have_its_signing_token(start: Start) -> None:
    token = payloads.SIGNING_TOKEN
    web = start(secrets={"gitlab": (Secret(token), Secret(b"plain"))})
    signed = push("gitlab", secret=token)
    assert deliver(web, signed, "gitlab").status_code == 202

    changed = replace(signed, body=signed.body.replace(b"main", b"evil"))
    assert deliver(web, changed, "gitlab").status_code == 401
    both = replace(changed, headers=changed.headers | {"X-Gitlab-Token": "plain"})
    assert deliver(web, both, "gitlab").status_code == 401
    shown = replace(push("gitlab"), headers={"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": token.decode()})
    assert deliver(web, shown, "gitlab").status_code == 401


@pytest.mark.parametrize("token", [b"whsec_", b"whsec_no base64", b"whsec_===="])
def test_a_signing_token_that_is_none_verifies_nothing(token: bytes, start: Start) -> None:
    web = start(secrets={"gitlab": (Secret(token),)})
    for guessed in (b"whsec_", payloads.SIGNING_TOKEN):
        assert deliver(web, push("gitlab", secret=guessed), "gitlab").status_code == 401


@pytest.mark.parametrize("host", HOSTS)
def test_a_replayed_delivery_is_answered_with_the_first_ones_id(
    host: str, web: FlaskClient, redis_client: redis.Redis
) -> None:
    request = push(host)
    first = deliver(web, request, host).get_json()["id"]
    again = deliver(web, request, host)
    assert (again.status_code, again.get_json()["id"]) == (202, first)
    assert redis_client.llen("mooring:queue:intake") == 1


def test_a_redelivery_after_a_failure_runs_again(web: FlaskClient, ledger: Ledger) -> None:
    request = push()
    first = deliver(web, request).get_json()["id"]
    ledger.begin(first, "worker", 30)
    ledger.finish([first], False, "the cluster was away")
    assert deliver(web, request).get_json()["id"] != first


def test_events_of_an_old_gitlab_are_told_apart_by_what_they_say(web: FlaskClient) -> None:
    # Before 17.4 there was no Idempotency-Key, and one request's events share their UUID.
    headers = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": "e1", "X-Gitlab-Token": "correct horse"}
    one, other = (
        replace(push("gitlab"), headers=headers),
        replace(push("gitlab", after="3" * 40), headers=headers),
    )
    ids = [deliver(web, request, "gitlab").get_json()["id"] for request in (one, other, one)]
    assert ids[0] == ids[2] != ids[1]


def test_neither_secrets_nor_proofs_nor_bodies_are_kept(web: FlaskClient, redis_client: redis.Redis) -> None:
    request = push("azure-devops")
    request = replace(request, body=request.body.replace(b'"resource"', b'"note": "t0p-s3cret", "resource"'))
    assert deliver(web, request, "azure-devops").status_code == 202
    dump = b"".join(redis_client.dump(key) or b"" for key in redis_client.keys("*"))
    for secret in (b"correct horse", base64.b64encode(SECRETS["azure-devops"]), b"t0p-s3cret"):
        assert secret not in dump


def test_a_body_over_the_limit_is_refused(start: Start) -> None:
    web = start(max_body_bytes=1000)
    request = replace(push(), body=b"x" * 1001)
    assert is_problem(deliver(web, request), 413)


def test_a_full_ledger_asks_to_come_back(start: Start) -> None:
    web = start(max_unfinished=1)
    assert deliver(web, push()).status_code == 202
    full = deliver(web, push())
    assert is_problem(full, 503, "MOORING_MAX_UNFINISHED")
    assert full.headers["Retry-After"]


def test_a_lost_redis_asks_to_come_back(start: Start) -> None:
    web = start(redis_url="redis://127.0.0.1:1/0")
    lost = deliver(web, push())
    assert is_problem(lost, 503, "Redis")
    assert lost.headers["Retry-After"]
    assert is_problem(web.get("/readyz"), 503, "Redis")
    assert is_problem(web.get("/"), 503, "Redis")


@pytest.mark.parametrize(
    "setting", [("maxmemory", 1), ("min-replicas-to-write", 1)], ids=["no memory left", "no replica"]
)
def test_a_redis_that_takes_no_writes_asks_to_come_back(start: Start, setting: tuple[str, int]) -> None:
    name, value = setting
    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        web = start(redis_url=server.url)
        assert deliver(web, push()).status_code == 202
        client.config_set(name, value)
        full = deliver(web, push())
        assert is_problem(full, 503, "Redis")
        assert full.headers["Retry-After"]
        client.config_set(name, 0)
        assert deliver(web, push()).status_code == 202
    assert web.get("/healthz").status_code == 200


def test_a_queue_that_takes_nothing_loses_nothing(
    web: FlaskClient, ledger: Ledger, redis_client: redis.Redis
) -> None:
    redis_client.set("mooring:queue:intake", "not a list")  # every push to it fails
    response = deliver(web, push())
    assert response.status_code == 202
    assert known(ledger, response.get_json()["id"]).state is DeliveryState.RECEIVED


class _Slow:
    """A body that arrives only when told to."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def read(self, size: int = -1) -> bytes:
        self.reached.set()
        self.go_on.wait(30)
        return b""


def test_more_requests_than_allowed_in_flight_are_asked_to_come_back(start: Start) -> None:
    web = start(max_in_flight=1)
    slow = _Slow()
    environ = create_environ("/webhooks/github", method="POST", headers=push().headers)
    environ |= {"wsgi.input": slow, "CONTENT_LENGTH": "10"}
    busy = threading.Thread(target=run_wsgi_app, args=(web.application, environ))
    busy.start()
    assert slow.reached.wait(30)
    try:
        turned_away = deliver(web, push())
        assert is_problem(turned_away, 503, "MOORING_MAX_IN_FLIGHT")
        assert turned_away.headers["Retry-After"]
        assert web.get("/healthz").status_code == 200
    finally:
        slow.go_on.set()
        busy.join()
    assert deliver(web, push()).status_code == 202


def test_failed_verifications_are_limited_per_address_but_good_deliveries_never(start: Start) -> None:
    web = start(max_failures_per_minute=3, trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),))
    there, elsewhere = {"X-Forwarded-For": "spoofed, 192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}

    def forged(address: dict[str, str]) -> int:
        request = push(secret=b"wrong")
        return deliver(web, replace(request, headers=request.headers | address)).status_code

    assert [forged(there) for _ in range(5)] == [401, 401, 401, 429, 429]
    assert forged(elsewhere) == 401
    good = push()
    assert deliver(web, replace(good, headers=good.headers | there)).status_code == 202


MALFORMED: list[Any] = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\x00\xff\xfe",
    b'{"ref": "\\ud800"}',
    b"[" * 100_000,
    {},
    {"ref": None, "after": None, "repository": None},
    {"repository": "text", "project": 7, "push": [], "changes": {}, "resource": "x", "eventType": "git.push"},
    {"push": {"changes": []}, "changes": [], "resource": {"refUpdates": []}, "eventType": "git.push"},
    {"push": {"changes": [None]}, "changes": [1], "resource": {"refUpdates": ["x"]}, "eventType": "git.push"},
    {"object_kind": "push", "ref": "main", "after": NEW},
    {"object_kind": "push", "ref": "refs/heads/a b", "after": NEW},
    {"object_kind": "push", "ref": "refs/heads/../x", "after": NEW},
    {"object_kind": "push", "ref": "refs/heads/main", "after": "--upload-pack=x"},
    {"object_kind": "push", "ref": "refs/heads/main", "after": None},
]


@pytest.mark.parametrize("content", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.parametrize("host", HOSTS)
def test_what_a_host_would_never_send_is_a_clients_error(
    host: str, content: Any, web: FlaskClient, ledger: Ledger
) -> None:
    if isinstance(content, dict) and host == "gitlab":
        content = {"object_kind": "push"} | content
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = payloads.event_headers(host, payloads.PUSH_EVENT[host], "1")
    request = Sent(payloads.sign(host, SECRETS[host], body, headers), body)
    response = deliver(web, request, host)
    if host == "azure-devops" and isinstance(content, dict) and content.get("eventType") != "git.push":
        assert response.status_code == 400
    assert is_problem(response, 400)
    assert ledger.recent(1) == ()


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("url", ["https://a b", "https://x\n", 7, {}, "https://" + "x" * 5000])
def test_a_repository_that_is_not_a_url_is_a_clients_error(host: str, url: Any, web: FlaskClient) -> None:
    text = json.dumps(payloads.push_json(host))
    page = (
        "https://git.example.com/scm/acme/shop"
        if host == "bitbucket-server"
        else "https://git.example.com/acme/shop"
    )
    spelled = f'"{page}.git"' if f'"{page}.git"' in text else f'"{page}"'
    assert spelled in text
    payload = json.loads(text.replace(spelled, json.dumps(url)))
    assert is_problem(deliver(web, payloads.sent(host, payloads.PUSH_EVENT[host], payload), host), 400)


def odd(body: bytes) -> dict[str, tuple[bytes, int]]:
    """`body`, a push, as no JSON library of a host would write it, and the status that answers it."""
    rest = b"," + body[1:]
    return {
        "a key twice, the last one counts": (b'{"repository": 7, "project": 7, "push": 7' + rest, 202),
        "a number that no float holds": (b'{"x": 1' + b"0" * 400 + rest, 400),
        "a number of many digits": (b'{"x": 0.' + b"1" * 100_000 + rest, 202),
        "something nested deeply": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + rest, 400),
        "no number": (b'{"x": NaN' + rest, 400),
        "two documents": (body + body, 400),
        "a byte order mark": (b"\xef\xbb\xbf" + body, 400),
        "UTF-16": (body.decode().encode("utf-16"), 400),
        "Latin-1": (b'{"x": "\xe9"' + rest, 400),
        "half of a surrogate": (b'{"x": "\\ud800"' + rest, 400),
        "a null byte": (b'{"x": "\x00"' + rest, 400),
        "compressed": (gzip.compress(body), 400),
    }


@pytest.mark.parametrize("what", odd(b"{}"))
@pytest.mark.parametrize("host", HOSTS)
def test_what_no_json_library_would_write(host: str, what: str, web: FlaskClient) -> None:
    body, status = odd(push(host).body)[what]
    headers = payloads.event_headers(host, payloads.PUSH_EVENT[host], next(_deliveries))
    response = deliver(web, Sent(payloads.sign(host, SECRETS[host], body, headers), body), host)
    assert response.status_code == status, response.get_data(as_text=True)
    assert status < 400 or is_problem(response, status, "not JSON")


def test_unknown_places_and_methods_are_problems_too(web: FlaskClient) -> None:
    assert is_problem(web.post("/webhooks/sourceforge"), 404, "github")
    assert is_problem(web.post("/webhooks", data=b"{}"), 400, "/webhooks/<host>")
    assert is_problem(web.get("/nowhere"), 404)
    refused = web.get("/webhooks/github")
    assert is_problem(refused, 405)
    assert "POST" in refused.headers["Allow"]

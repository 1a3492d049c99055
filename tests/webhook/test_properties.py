"""What holds for every request, not only for those we thought of."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from mooring.delivery import Event
from mooring.settings_web import HOSTS, Secret, WebSettings
from tests.webhook import payloads
from tests.webhook.payloads import SECRETS, SIGNING_TOKEN
from webhook import hosts
from webhook.app import create_app
from webhook.hosts.payload import MalformedPayload

# Azure DevOps and GitLab's plain token prove who sends, not what is sent.
SIGNING = [(host, SECRETS[host]) for host in HOSTS if host not in ("azure-devops", "gitlab")]
SIGNING.append(("gitlab", SIGNING_TOKEN))

quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.mark.parametrize(("host", "secret"), SIGNING)
@given(data=st.data())
@quick
def test_any_changed_byte_of_the_body_fails_verification(
    host: str, secret: bytes, data: st.DataObject
) -> None:
    request = payloads.push(host, secret=secret)
    verify = hosts.BY_NAME[host].verify
    assert verify(Headers(request.headers), request.body, (b"another", secret))

    place = data.draw(st.integers(0, len(request.body) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != request.body[place]))
    changed = request.body[:place] + bytes([byte]) + request.body[place + 1 :]
    assert not verify(Headers(request.headers), changed, (b"another", secret))


@pytest.mark.parametrize(("host", "secret"), [*SIGNING, ("azure-devops", SECRETS["azure-devops"])])
@given(data=st.data())
@quick
def test_any_changed_character_of_the_proof_fails_verification(
    host: str, secret: bytes, data: st.DataObject
) -> None:
    request = payloads.push(host, secret=secret)
    plain = payloads.event_headers(host, payloads.PUSH_EVENT[host], "1")
    (name,) = set(request.headers) - set(plain)
    proof = request.headers[name]
    characters = st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f")
    place = data.draw(st.integers(0, len(proof) - 1))
    character = data.draw(characters.filter(lambda c: c.lower() != proof[place].lower()))
    changed = proof[:place] + character + proof[place + 1 :]
    headers = Headers({**request.headers, name: changed})
    assert not hosts.BY_NAME[host].verify(headers, request.body, (secret,))


names = st.sampled_from(
    [
        *("ref", "after", "before", "repository", "project", "object_kind", "event_name", "push", "changes"),
        *("new", "old", "target", "hash", "type", "name", "links", "html", "self", "clone", "href", "id"),
        *("eventType", "resource", "refUpdates", "newObjectId", "oldObjectId", "remoteUrl", "refId"),
        *("toHash", "fromHash", "clone_url", "ssh_url", "html_url", "git_http_url", "sender", "actor"),
        *("ref_type", "subscriptionId", "notificationId", "default_branch", "pullRequest", "toRef"),
    ]
)
texts = st.text(max_size=20) | st.sampled_from(
    [
        "push",
        "tag_push",
        "git.push",
        "merge_request",
        "refs/heads/main",
        "a" * 40,
        "0" * 40,
        "tag",
        "https://[x",
    ]
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | texts, inner, max_size=5),
    max_leaves=25,
)


@st.composite
def mangled(draw: st.DrawFn, document: Any) -> Any:
    """`document` with a few of its values replaced by anything."""
    if draw(st.integers(0, 8)) == 0:
        return draw(documents)
    if isinstance(document, dict):
        return {name: draw(mangled(value)) for name, value in document.items()}
    if isinstance(document, list):
        return [draw(mangled(value)) for value in document]
    return document


@pytest.mark.parametrize("host", HOSTS)
@given(data=st.data())
@quick
def test_whatever_is_sent_is_parsed_or_malformed(host: str, data: st.DataObject) -> None:
    event = data.draw(
        st.sampled_from([payloads.PUSH_EVENT[host], payloads.PULL_REQUEST_EVENT[host], "delete", "ping"])
        | st.text(max_size=10)
    )
    document = data.draw(mangled(payloads.push_json(host)) | documents)
    body = data.draw(st.just(json.dumps(document).encode()) | st.binary(max_size=50))
    headers = payloads.event_headers(host, event.replace("\n", "").replace("\r", ""), "1")
    if data.draw(st.booleans()):
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        parsed = hosts.BY_NAME[host].parse(Headers(headers), body)
    except MalformedPayload as malformed:
        assert "\n" not in str(malformed)
    else:
        assert Event.from_json(orjson.loads(orjson.dumps(parsed))) == parsed


@given(data=st.data())
@quick
def test_no_request_is_answered_with_a_server_error(redis_url: str, data: st.DataObject) -> None:
    secrets = {host: (Secret(secret),) for host, secret in SECRETS.items()}
    web = create_app(WebSettings(redis_url=redis_url, secrets=secrets)).test_client()
    host = data.draw(st.sampled_from(HOSTS))
    anything = mangled(payloads.push_json(host)).map(lambda value: json.dumps(value).encode())
    body = data.draw(anything | st.binary(max_size=200))
    delivery = data.draw(st.sampled_from(["1", "x" * 300, "\xe4"]))
    headers = payloads.event_headers(host, payloads.PUSH_EVENT[host], delivery)
    if data.draw(st.booleans()):
        headers = payloads.sign(host, SECRETS[host], body, headers)
    if bool(headers) and data.draw(st.booleans()):
        headers.pop(data.draw(st.sampled_from(sorted(headers))))
    paths = [f"/webhooks/{host}", "/webhooks", "/api/webhook", "/webhooks/%00", "/webhooks/x"]
    path = data.draw(st.sampled_from(paths))
    response = web.post(path, data=body, headers=headers, buffered=True)
    assert response.status_code < 500
    if response.status_code >= 400:
        assert response.mimetype == "application/problem+json"


@pytest.mark.parametrize("host", HOSTS)
@given(data=st.data())
@quick
def test_no_header_is_answered_with_a_server_error(host: str, data: st.DataObject, redis_url: str) -> None:
    secrets: dict[str, tuple[Secret, ...]]
    secrets = {host: (Secret(secret),) for host, secret in SECRETS.items()}
    secrets["gitlab"] = (*secrets["gitlab"], Secret(SIGNING_TOKEN))
    web = create_app(
        WebSettings(redis_url=redis_url, secrets=secrets, trusted_proxies=(ip_network("127.0.0.0/8"),))
    ).test_client()
    # What a server lets through: any byte, as Latin-1, but those that end a line.
    noise = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=40)
    headers = payloads.push(host).headers | {"X-Forwarded-For": "192.0.2.1", "webhook-signature": "v1,x"}
    for name in data.draw(st.sets(st.sampled_from(sorted(headers)), min_size=1, max_size=4)):
        good = headers[name]
        headers[name] = data.draw(noise | noise.map(good.__add__) | st.just(good * 50))
    path = data.draw(st.sampled_from([f"/webhooks/{host}", "/webhooks"]))

    response = web.post(path, data=payloads.push(host).body, headers=headers, buffered=True)

    assert response.status_code in (200, 202, 400, 401), response.get_data(as_text=True)
    if response.status_code >= 400:
        assert response.mimetype == "application/problem+json"
        assert "\n" not in response.get_json()["detail"]

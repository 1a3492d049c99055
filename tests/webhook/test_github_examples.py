"""GitHub as GitHub publishes it: every example payload, signed by its own code, is understood."""

from __future__ import annotations

import json

import pytest

from mooring.delivery import EventKind
from mooring.settings_web import Secret, WebSettings
from mooring.store.connection import connect
from mooring.store.ledger import Ledger
from tests.webhook import octokit
from webhook.app import create_app

pytestmark = pytest.mark.skipif(
    not octokit.available(), reason="no npm or node: of GitHub, only what test_published.py has is tested"
)

SECRET = "It's a Secret to Everybody"


def test_every_published_example_is_understood(redis_url: str) -> None:
    secrets = {"github": (Secret(SECRET.encode()),)}
    web = create_app(WebSettings(redis_url=redis_url, secrets=secrets)).test_client()
    examples = octokit.examples()
    bodies = [json.dumps(example) for _, example in examples]
    seen: dict[str, set[int]] = {}

    for number, ((name, _), body, signature) in enumerate(
        zip(examples, bodies, octokit.sign(SECRET, bodies), strict=True)
    ):
        headers = {
            "X-GitHub-Event": name,
            "X-GitHub-Delivery": f"example-{number}",
            "X-Hub-Signature-256": signature,
            "Content-Type": "application/json",
        }
        response = web.post("/webhooks/github", data=body, headers=headers, buffered=True)
        seen.setdefault(name, set()).add(response.status_code)
        assert response.status_code < 300, (name, response.get_data(as_text=True))

    assert seen["ping"] == {200}
    assert all(codes == {202} for name, codes in seen.items() if name != "ping")
    kept = Ledger(connect(redis_url)).recent(10_000)
    assert {delivery.event.name for delivery in kept} == {"push", "pull_request"}
    pushes = [d.event for d in kept if d.event.kind in (EventKind.PUSH, EventKind.TAG)]
    assert pushes
    for event in pushes:
        assert event.default_branch
        assert any(url.startswith("https://") for url in event.repo_urls)
        assert len(event.changes) == 1

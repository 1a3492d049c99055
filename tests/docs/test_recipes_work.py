"""What the pages tell an operator to type does what they say, on a real Redis."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from mooring import names
from mooring.settings_web import WebSettings
from mooring.store.connection import QUEUE
from tests.docs.pages import ROOT, calls, read
from webhook.app import create_app

_SECRET = b"a secret of the tests"
_LOOKED_AT = {
    "mooring.action": "deploy",
    "mooring.poll": "slow",
    "mooring.reconcile": "reconcile",
    "mooring.sync": "deploy",
}
_BODY = json.dumps(
    {
        "ref": "refs/heads/main",
        "before": "b" * 40,
        "after": "a" * 40,
        "repository": {"clone_url": "https://git.example.com/acme/deploy.git"},
    }
).encode()


def test_every_task_and_queue_is_on_the_page() -> None:
    page = read("docs/tasks.md")
    tasks = {value for name, value in vars(names).items() if name.startswith("TASK_")}
    assert {task for task in tasks if f"| `{task}` |" not in page} == set()
    assert set(re.findall(r"\bmooring\.[a-z]+\b(?!\.)", page)) <= tasks
    assert {names.INTAKE, names.DEPLOY, names.SLOW, names.RECONCILE, names.CONTROL} <= set(
        re.findall(r"`([a-z]+)`", page)
    )


@pytest.mark.parametrize(
    "words",
    [words for words in calls(read("docs/tasks.md"), "celery") if "call" in words[1:]],
    ids=lambda words: " ".join(words),
)
def test_a_task_called_by_hand_comes_to_the_queue_where_the_workers_look(
    words: list[str], redis_url: str, redis_client: redis.Redis
) -> None:
    celery = Path(sys.executable).with_name("celery")
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "MOORING_REDIS_URL": redis_url}

    subprocess.run([celery, *words], cwd=ROOT, env=environ, check=True, capture_output=True, timeout=60)

    task = words[words.index("call") + 1]
    (message,) = redis_client.lrange(QUEUE + _LOOKED_AT[task], 0, -1)
    assert json.loads(message)["headers"]["task"] == task


@pytest.fixture
def web_user(redis_client: redis.Redis, redis_url: str) -> str:
    """URL for the user that docs/security.md gives to the web tier."""
    found = re.search(r"^ACL SETUSER mooring-web (.+)$", read("docs/security.md"), re.MULTILINE)
    assert found is not None
    user = f"web-{os.urandom(6).hex()}"
    rules = found[1].replace(">PASSWORD", ">secret").split()
    redis_client.execute_command("ACL", "SETUSER", user, *rules)
    return re.sub(r"//[^@]*@", f"//{user}:secret@", redis_url)


def test_the_redis_user_of_the_page_is_enough_for_the_web_tier(
    web_user: str, redis_client: redis.Redis
) -> None:
    environ = {"MOORING_REDIS_URL": web_user, "MOORING_WEBHOOK_GITHUB_SECRET": _SECRET.decode()}
    web = create_app(WebSettings.from_env(environ)).test_client()
    headers = {
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "1",
        "X-Hub-Signature-256": f"sha256={hmac.digest(_SECRET, _BODY, hashlib.sha256).hex()}",
        "Content-Type": "application/json",
    }

    first, again = (web.post("/webhooks/github", data=_BODY, headers=headers) for _ in range(2))

    id = first.get_json()["id"]
    assert (first.status_code, again.get_json()["message"]) == (202, "received before")
    assert web.get(f"/api/v1/deliveries/{id}").get_json()["state"] in ("received", "enqueued")
    assert web.get("/").status_code == web.get("/readyz").status_code == 200
    assert redis_client.llen(QUEUE + names.INTAKE) == 1

"""The links that people are shown: where an app is reached, and what its annotations name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workers.objects import key, live
from workers.cluster.live import Live
from workers.links import external_urls

INGRESS = key("web", "Ingress", "networking.k8s.io")
ADDRESS = {"status": {"loadBalancer": {"ingress": [{"ip": ""}, {"hostname": "lb.example.com"}]}}}


def ingress(*rules: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> Live:
    return live(INGRESS, annotations=annotations, body={"spec": {"rules": list(rules), **spec}, **ADDRESS})


def rule(host: str = "", *paths: str) -> dict[str, Any]:
    named = {"host": host} if host else {}
    return {**named, "http": {"paths": [{"path": path} if path else {} for path in paths or ("",)]}}


@pytest.mark.parametrize(
    ("found", "urls"),
    [
        (
            ingress(rule("shop.example.com", "/", "/api/*")),
            ["http://shop.example.com/", "http://shop.example.com/api/"],
        ),
        (ingress(rule("shop.example.com")), ["http://shop.example.com"]),
        (ingress(rule("", "/x")), ["http://lb.example.com/x"]),
        (
            ingress(rule("a.example.com"), tls=[{"hosts": ["a.example.com"], "secretName": "t"}]),
            ["https://a.example.com"],
        ),
        (ingress(rule("a.example.com"), rule("a.example.com")), ["http://a.example.com"]),
        (ingress({"host": "no-paths.example.com"}), []),
        (ingress(rule("a.example.com"), annotations={"argocd.argoproj.io/ignore-default-links": "true"}), []),
        (ingress(rule("a.example.com"), tls="nonsense"), []),
        (live(INGRESS), []),
    ],
)
def test_an_ingress_is_reached_where_its_rules_say(found: Live, urls: list[str]) -> None:
    assert external_urls({}, [found]) == tuple(urls)


def test_annotations_of_the_application_and_of_its_objects_name_links() -> None:
    runbook = {
        "link.argocd.argoproj.io/runbook": "https://wiki.example.com/shop",
        "note": "https://not.example.com",
    }
    board = live(key("board"), annotations={"link.mooring.dev/board": "Dashboard|https://board.example.com"})
    assert external_urls(runbook, [board]) == (
        "Dashboard|https://board.example.com",
        "https://wiki.example.com/shop",
    )


@pytest.mark.parametrize(
    "text",
    ["javascript:alert(1)", "good|javascript:alert(1)", "data:text/html,x", "", "no link", "https://[bad"],
)
def test_what_is_no_web_address_is_no_link(text: str) -> None:
    assert external_urls({"link.argocd.argoproj.io/x": text}, []) == ()

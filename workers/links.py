"""Where people reach what an app has deployed: the links of `status.summary.externalURLs`. Pure.

The rules are Argo CD's. https://argo-cd.readthedocs.io/en/stable/user-guide/external-url/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from mooring.model.annotations import annotation
from mooring.names import ARGO, OURS
from mooring.text import printable
from workers.cluster.live import Live
from workers.health.fields import Body, Malformed, objects, text

_MARKS = (f"link.{ARGO}/", f"link.{OURS}/")
_ADDRESSES = ("status", "loadBalancer", "ingress")
_TRUE = ("1", "t", "true")


def external_urls(app: Mapping[str, str], seen: Iterable[Live]) -> tuple[str, ...]:
    """The links that annotations of the Application (`app`) and of the objects `seen` name, and those of
    Ingresses."""
    found = set(_named(app))
    for live in seen:
        found.update(_named(live.annotations))
        ingress = (live.key.group, live.key.kind) == ("networking.k8s.io", "Ingress")
        quiet = annotation(live.annotations, "ignore-default-links").strip().lower() in _TRUE
        if ingress and live.body is not None and not quiet:
            with suppress(Malformed):
                found.update(_served(live.body))
    return tuple(sorted(map(printable, found)))


def _named(annotations: Mapping[str, str]) -> Iterator[str]:
    """`https://…` or `title|https://…`; anything that is no web address is left out, for it is clicked on."""
    for name, value in annotations.items():
        if name.startswith(_MARKS) and _is_web(value.partition("|")[2] if "|" in value else value):
            yield value


def _is_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _served(body: Body) -> Iterator[str]:
    """What the rules of an Ingress serve, at its address where a rule names no host."""
    addresses = (text(one, "hostname") or text(one, "ip") for one in objects(body, *_ADDRESSES))
    address = next(filter(None, addresses), "")
    scheme = "https" if any(text(one, "secretName") for one in objects(body, "spec", "tls")) else "http"
    for rule in objects(body, "spec", "rules"):
        if host := text(rule, "host") or address:
            for path in objects(rule, "http", "paths"):
                yield f"{scheme}://{host}{text(path, 'path').removesuffix('*')}"

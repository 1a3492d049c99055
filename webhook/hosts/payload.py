"""Reading what anybody may have sent: every value is checked for its type on its way out of the JSON."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Any, Protocol
from urllib.parse import parse_qs

import orjson

from mooring.delivery import Event, EventKind, RefChange
from mooring.errors import Refused
from mooring.repourl import masked

JsonObject = dict[str, Any]


class MalformedPayload(Refused):
    """The request is not what its host would send."""


class Headers(Protocol):
    """Request headers by name, in any case."""

    def get(self, key: str, /) -> str | None:
        """The header's value, or None."""


_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
# https://git-scm.com/docs/git-check-ref-format
_REF = re.compile(r"refs/(?:heads|tags)/(?!.*(?:\.\.|@\{|//))[^\x00-\x20\x7f~^:?*\[\\]{1,1000}\Z")
_URL = re.compile(r"[^\x00-\x20\x7f]{1,2048}\Z")
_PATH = re.compile(r"~?[\w.@-]{1,255}/[\w.-]{1,255}\Z", re.ASCII)
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,200}\Z")


def read(headers: Headers, body: bytes) -> JsonObject:
    """The JSON object in `body`, which some hosts may send as the form field `payload`."""
    content_type = (headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if content_type == "application/x-www-form-urlencoded":
        try:
            # One field is all a host sends; more would be somebody trying.
            form = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=4, errors="strict")
            body = form["payload"][0].encode()
        except (ValueError, KeyError) as error:
            raise MalformedPayload("the form has no field `payload`") from error
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedPayload(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedPayload("the body is not a JSON object")
    return value


def header(headers: Headers, name: str) -> str:
    """A header that must be there, short and printable."""
    value = headers.get(name) or ""
    if not _PRINTABLE.match(value.replace(" ", "_")):
        raise MalformedPayload(f"the header {name} is missing or not a name")
    return value


def delivery(value: str | None, body: bytes) -> str:
    """The host's id of the delivery; a digest of the body where it sent none, or none we would keep."""
    return value if value and _PRINTABLE.match(value) else f"sha256-{hashlib.sha256(body).hexdigest()}"


def mapping(data: JsonObject, *path: str) -> JsonObject:
    """The object at `path`, an empty one when it or anything above it is absent or null."""
    value = _at(data, path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedPayload(f"{_dotted(path)} is not an object")
    return value


def objects(data: JsonObject, *path: str) -> list[JsonObject]:
    """The objects in the list at `path`. Raises MalformedPayload unless it holds at least one."""
    value = _at(data, path)
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise MalformedPayload(f"{_dotted(path)} is not a list of objects, or an empty one")
    return value


def text(data: JsonObject, *path: str) -> str:
    """The text at `path`, "" when it or anything above it is absent or null."""
    value = _at(data, path)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedPayload(f"{_dotted(path)} is not a text")
    return value


def event(
    host: str,
    kind: EventKind,
    name: str,
    delivery: str,
    *,
    repo_urls: Iterable[str],
    repo_path: str = "",
    changes: tuple[RefChange, ...] = (),
    default_branch: str = "",
    sender: str = "",
) -> Event:
    """The event, with the distinct ones of `repo_urls` that are not empty, without credentials.

    `repo_path` counts where there are none, and only when it could be the end of one. Raises
    MalformedPayload for what is not a URL, and when something happened to no repository at all.
    """
    found = tuple(dict.fromkeys(url for url in repo_urls if url))
    path = repo_path if not found and _PATH.match(repo_path) else ""
    if not found and not path and kind not in (EventKind.PING, EventKind.IGNORED):
        raise MalformedPayload("the payload names no repository")
    if not all(_URL.match(url) for url in found):
        raise MalformedPayload("the payload names a repository that is not a URL")
    # A host behind a proxy, or a hand-made hook, may send its clone URL with a token: nobody needs that here.
    found = tuple(dict.fromkeys(masked(url) if "@" in url else url for url in found))
    return Event(host, kind, name, delivery, found, changes, default_branch[:1000], sender[:200], path)


def change(ref: str, after: str, before: str) -> RefChange:
    """A ref that moved. A commit of zeros means that the ref is not there; `before` may be unknown ("")."""
    if not after:
        raise MalformedPayload("the payload does not say which commit the ref is at")
    return RefChange(_ref(ref), _commit(after), _commit(before))


def deletion(ref: str, before: str) -> RefChange:
    """A ref that is gone, from hosts that do not say so with zeros."""
    return RefChange(_ref(ref), None, _commit(before))


def kind(changes: Iterable[RefChange]) -> EventKind:
    """TAG when nothing but tags moved, else PUSH."""
    only_tags = all(change.ref.startswith("refs/tags/") for change in changes)
    return EventKind.TAG if only_tags else EventKind.PUSH


def signed(body: bytes, hex_digest: str, secrets: Iterable[bytes]) -> bool:
    """Whether `hex_digest` is the HMAC-SHA256 of `body` under one of `secrets`."""
    given = hex_digest.encode("latin-1", "replace")
    return one_of(given, (hmac.digest(secret, body, "sha256").hex().encode() for secret in secrets))


def one_of(given: bytes, expected: Iterable[bytes]) -> bool:
    """Whether `given` is among `expected`, in a time that tells neither how nearly nor which."""
    found = False
    for one in expected:
        found |= hmac.compare_digest(one, given)
    return found


def _ref(value: str) -> str:
    if not _REF.match(value):
        raise MalformedPayload("the payload names a ref that is neither a branch nor a tag")
    return value


def _commit(value: str) -> str | None:
    if not value.strip("0"):
        return None
    if not _COMMIT.match(value):
        raise MalformedPayload("the payload names a commit that is not a commit id")
    return value


def _at(data: JsonObject, path: tuple[str, ...]) -> Any:
    value: Any = data
    for depth, name in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            raise MalformedPayload(f"{_dotted(path[:depth])} is not an object")
        value = value.get(name)
    return value


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path)

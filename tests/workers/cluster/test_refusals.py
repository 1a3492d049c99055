"""Answers from 300 on, as the errors that the engine acts upon; nothing on the network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import ClusterRefused, ClusterUnavailable, Conflict, MooringError, Refused
from workers.cluster.identity import MOORING, Identity
from workers.cluster.kinds import Kind
from workers.cluster.transport import NotFound, refusal

PATH = "/api/v1/namespaces/shop/configmaps/settings"
SECRET = "/api/v1/namespaces/shop/secrets/login"


def status(message: str, **fields: Any) -> bytes:
    return orjson.dumps({"kind": "Status", "apiVersion": "v1", "message": message, **fields})


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, ClusterRefused) for code in (301, 400, 401, 403, 410, 422)),
        *((code, ClusterUnavailable) for code in (429, 500, 503, 504)),
        (404, NotFound),
        (409, Conflict),
    ],
)
def test_each_code_says_who_has_to_act(code: int, kind: type[MooringError]) -> None:
    error = refusal("PATCH", PATH, code, status("no,\nnever"), None)
    assert type(error) is kind or (kind is ClusterRefused and isinstance(error, kind))
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("header", "after"), [("7", 7.0), (None, 1.0), ("0", 0.1), ("9999", 60.0), ("Mon, 1 Jan", 5.0)]
)
def test_the_server_says_when_to_come_back(header: str | None, after: float) -> None:
    error = refusal("GET", PATH, 429, b"", header)
    assert isinstance(error, ClusterUnavailable)
    assert error.after == after


@given(
    st.integers(300, 599),
    st.binary(max_size=60) | st.builds(lambda m, d: status(m, details=d), st.text(), st.none() | st.text()),
)
def test_no_answer_is_too_strange_for_an_error_of_ours(code: int, body: bytes) -> None:
    assert isinstance(refusal("GET", PATH, code, body, None), MooringError)


@given(
    st.sampled_from([400, 403, 404, 409, 410, 422, 429, 500, 503]), st.sampled_from(["", " is invalid", ":"])
)
def test_no_message_about_a_secret_repeats_the_servers_words(code: int, between: str) -> None:
    causes = [{"field": "data[k]", "reason": "FieldValueInvalid", "message": "hunter2"}]
    body = status(f'Secret "login"{between} hunter2', reason="Invalid", details={"causes": causes})
    assert "hunter2" not in str(refusal("PATCH", SECRET, code, body, None))


def test_who_may_not_touch_a_secret_is_said() -> None:
    words = 'secrets "login" is forbidden: User "bob" cannot get resource "secrets" in API group ""'
    assert "bob" in str(refusal("GET", SECRET, 403, status(words, reason="Forbidden"), None))


def test_a_page_that_is_not_of_the_api_server_is_no_missing_object() -> None:
    error = refusal("GET", PATH, 404, b"<html>not here</html>", None)
    assert isinstance(error, NotFound)
    assert error.missing == ("", "")


@pytest.mark.parametrize("name", [".", "..", "a/b", "a%2fb"])
def test_no_name_leads_to_another_path(name: str) -> None:
    maps = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
    with pytest.raises(ClusterRefused):
        maps.path("shop", name)
    with pytest.raises(ClusterRefused):
        maps.path(name, "settings")


def test_an_object_needs_its_namespace() -> None:
    maps = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)
    with pytest.raises(ClusterRefused, match="namespace"):
        maps.path("", "settings")
    assert maps.path() == "/api/v1/configmaps"
    roles = Kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
    assert (
        roles.path("", "system:node?") == "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode%3F"
    )


def test_an_identity_cannot_smuggle_headers() -> None:
    assert MOORING.headers == ()
    assert Identity("bob", ("a", "b")).headers == (
        ("Impersonate-User", "bob"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
    )
    for user, groups in (("bob\r\nX: y", ()), ("bob", ("a\n",)), ("", ("system:masters",))):
        with pytest.raises(Refused):
            Identity(user, groups)

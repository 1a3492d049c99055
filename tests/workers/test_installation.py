"""Who we are: made once, agreed on by all, never made anew over the traces of another."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from mooring.errors import ClusterRefused, Refused
from mooring.keys import AppKey, ObjectKey
from workers.applyset.inventory import Entry
from workers.applyset.store import grow, read
from workers.cluster.api import Api
from workers.installation import SECRET, SECRET_NAME, Installation, ensure


def _delete(api: Api, namespace: str) -> None:
    live = api.get(SECRET, namespace, SECRET_NAME)
    assert live is not None
    api.delete(SECRET, live, "background")


def test_it_is_made_once_and_found_again(api: Api, namespace: str) -> None:
    made = ensure(api, namespace)
    assert re.fullmatch("[a-z2-7]{8}", made.id)
    assert len(made.key) == 32
    assert ensure(api, namespace) == made


def test_all_that_start_at_once_agree(api: Api, namespace: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ensure(api, namespace), range(8)))
    assert len({(one.id, one.key) for one in found}) == 1


def test_a_lost_secret_is_asked_for_where_something_was_deployed(api: Api, namespace: str) -> None:
    made = ensure(api, namespace)
    parent = read(api, namespace, AppKey("team", "shop"), made)
    grow(api, parent, {ObjectKey("", "ConfigMap", "shop", "settings"): Entry()})
    _delete(api, namespace)
    with pytest.raises(Refused, match=f"Secret {namespace}/{SECRET_NAME} is missing"):
        ensure(api, namespace)
    assert api.get(SECRET, namespace, SECRET_NAME) is None


def test_a_lost_secret_of_an_installation_that_deployed_nothing_is_made_anew(
    api: Api, namespace: str
) -> None:
    made = ensure(api, namespace)
    _delete(api, namespace)
    assert ensure(api, namespace).id != made.id


def test_a_damaged_secret_is_refused(api: Api, namespace: str) -> None:
    body = {
        "metadata": {"name": SECRET_NAME, "namespace": namespace},
        "stringData": {"id": "../../..", "key": "x"},
    }
    api.create(SECRET, body)
    with pytest.raises(Refused, match="is damaged"):
        ensure(api, namespace)


def test_the_id_cannot_be_changed_by_an_edit(api: Api, namespace: str) -> None:
    ensure(api, namespace)
    with pytest.raises(ClusterRefused):
        api.patch(SECRET, namespace, SECRET_NAME, {"data": {"id": "YWJjZGVmZ2g="}})


def test_the_key_is_not_printed() -> None:
    assert "kkkk" not in repr(Installation("abcd2345", b"k" * 32))

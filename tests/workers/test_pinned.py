"""What was deployed of a render that cannot be made again is kept in Secrets that only we can open."""

from __future__ import annotations

import base64
import dataclasses
import os

import pytest

from mooring.keys import AppKey, ObjectKey
from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.installation import SECRET, ensure
from workers.pinned import PREFIX, Pins
from workers.render.manifest import Manifest

pytestmark = pytest.mark.cluster

SHOP, OTHER = AppKey("mooring", "shop"), AppKey("mooring", "other")
CONTENT, NEWER = "c" * 32, "d" * 32


@pytest.fixture
def pins(api: Api, namespace: str) -> Pins:
    return Pins(api, namespace, ensure(api, namespace))


def drawn(password: str) -> tuple[Manifest, ...]:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "database"},
        "stringData": {"password": password},
    }
    return (Manifest(ObjectKey("", "Secret", "", "database"), "v1", body, "chart/secret.yaml", 3),)


def kept(pins: Pins) -> list[Live]:
    return [live for live in pins.api.list(SECRET, pins.namespace) if live.key.name.startswith(PREFIX)]


def test_it_is_read_as_it_was_written_and_by_nobody_else(pins: Pins) -> None:
    pins.write(SHOP, CONTENT, drawn("correct-horse"))
    assert pins.read(SHOP, CONTENT) == drawn("correct-horse")
    assert pins.read(SHOP, NEWER) is None
    assert pins.read(OTHER, CONTENT) is None
    stranger = dataclasses.replace(pins.installation, key=b"x" * 32)
    assert dataclasses.replace(pins, installation=stranger).read(SHOP, CONTENT) is None
    for live in kept(pins):
        assert b"correct-horse" not in base64.b64decode((live.body or {})["data"]["sealed"])


def test_one_that_is_larger_than_a_secret_may_be_is_in_parts_and_none_may_be_missing(pins: Pins) -> None:
    large = drawn(os.urandom(1_200_000).hex())
    pins.write(SHOP, CONTENT, large)
    assert len(kept(pins)) == 2
    assert pins.read(SHOP, CONTENT) == large
    pins.api.delete(SECRET, kept(pins)[0], "background")
    assert pins.read(SHOP, CONTENT) is None
    pins.write(SHOP, CONTENT, drawn("new"))
    assert pins.read(SHOP, CONTENT) == drawn("new"), "half of an older one is in nobody's way"


def test_only_what_is_deployed_stays(pins: Pins) -> None:
    pins.write(SHOP, CONTENT, drawn("old"))
    pins.write(SHOP, NEWER, drawn("new"))
    pins.write(OTHER, CONTENT, drawn("other"))
    pins.keep_only(SHOP, NEWER)
    assert pins.read(SHOP, CONTENT) is None
    assert pins.read(SHOP, NEWER) == drawn("new")
    assert pins.read(OTHER, CONTENT) == drawn("other")
    pins.keep_only(SHOP, "")
    assert pins.read(SHOP, NEWER) is None
    assert pins.read(OTHER, CONTENT) == drawn("other")

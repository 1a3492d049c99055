"""What was deployed of a render that cannot be made again is kept in Secrets that only we can open."""

from __future__ import annotations

import base64
import dataclasses
import os

import pytest

from mooring.keys import AppKey, ClusterRef, ObjectKey
from workers.apps.state import State, said_again
from workers.bundles import PREFIX, Bundles
from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.installation import SECRET, ensure
from workers.render.manifest import Manifest
from workers.render.source import Drawn

pytestmark = pytest.mark.cluster

SHOP, OTHER = AppKey("mooring", "shop"), AppKey("mooring", "other")
CONTENT, NEWER = "c" * 32, "d" * 32


@pytest.fixture
def bundles(api: Api, namespace: str) -> Bundles:
    return Bundles(api, namespace, ensure(api, namespace))


def drawn(password: str) -> Drawn:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "database"},
        "stringData": {"password": password},
    }
    made = Manifest(ObjectKey("", "Secret", "", "database"), "v1", body, "chart/secret.yaml", 3)
    return {"what the source read": (made,)}


def read(bundles: Bundles, app: AppKey, content: str) -> Drawn | None:
    return bundles.open(app, content, bundles.parts(app))


def kept(bundles: Bundles) -> list[Live]:
    return [live for live in bundles.api.list(SECRET, bundles.namespace) if live.key.name.startswith(PREFIX)]


def test_what_was_deployed_before_is_found_unless_it_can_be_rendered_again(bundles: Bundles) -> None:
    bundles.write(SHOP, CONTENT, drawn("correct-horse"))
    parts = bundles.parts(SHOP)
    assert bundles.before(SHOP, State(bundle=CONTENT), parts) == drawn("correct-horse")
    differs = State(bundle=CONTENT, again=said_again(CONTENT, same=False))
    assert bundles.before(SHOP, differs, parts) == drawn("correct-horse")
    same = State(bundle=CONTENT, again=said_again(CONTENT, same=True))
    assert bundles.before(SHOP, same, parts) == {}
    assert bundles.before(SHOP, State(bundle=NEWER), parts) == {}
    assert bundles.before(SHOP, State(), parts) == {}


def test_it_is_read_as_it_was_written_and_by_nobody_else(bundles: Bundles) -> None:
    bundles.write(SHOP, CONTENT, drawn("correct-horse"))
    assert read(bundles, SHOP, CONTENT) == drawn("correct-horse")
    assert read(bundles, SHOP, NEWER) is None
    assert read(bundles, OTHER, CONTENT) is None
    stranger = dataclasses.replace(bundles.installation, key=b"x" * 32)
    assert read(dataclasses.replace(bundles, installation=stranger), SHOP, CONTENT) is None
    for live in kept(bundles):
        assert b"correct-horse" not in base64.b64decode((live.body or {})["data"]["sealed"])


def test_one_that_is_larger_than_a_secret_may_be_is_in_parts_and_none_may_be_missing(
    bundles: Bundles,
) -> None:
    large = drawn(os.urandom(1_200_000).hex())
    bundles.write(SHOP, CONTENT, large)
    assert len(kept(bundles)) == 2
    assert read(bundles, SHOP, CONTENT) == large
    bundles.api.delete(SECRET, kept(bundles)[0], "background")
    assert read(bundles, SHOP, CONTENT) is None
    bundles.write(SHOP, CONTENT, drawn("new"))
    assert read(bundles, SHOP, CONTENT) == drawn("new"), "half of an older one is in nobody's way"


def test_only_what_is_deployed_stays(bundles: Bundles) -> None:
    bundles.write(SHOP, CONTENT, drawn("old"))
    bundles.write(SHOP, NEWER, drawn("new"))
    bundles.write(OTHER, CONTENT, drawn("other"))
    bundles.keep_only(SHOP, NEWER)
    assert read(bundles, SHOP, CONTENT) is None
    assert read(bundles, SHOP, NEWER) == drawn("new")
    assert read(bundles, OTHER, CONTENT) == drawn("other")
    bundles.keep_only(SHOP, "")
    assert read(bundles, SHOP, NEWER) is None
    assert read(bundles, OTHER, CONTENT) == drawn("other")


def test_it_goes_with_the_apps_that_are_gone_and_no_stranger_s_goes(bundles: Bundles) -> None:
    bundles.write(SHOP, CONTENT, drawn("shop"))
    bundles.write(OTHER, CONTENT, drawn("other"))
    another = dataclasses.replace(bundles.installation, id="aaaaaaaa", key=b"x" * 32)
    stranger = dataclasses.replace(bundles, installation=another)
    stranger.write(SHOP, CONTENT, drawn("stranger"))
    asked: list[AppKey] = []

    def gone(app: AppKey, cluster: ClusterRef) -> bool:
        assert cluster == bundles.api.cluster
        asked.append(app)
        return app == SHOP

    bundles.let_go(gone)
    assert sorted(asked) == [OTHER, SHOP]
    assert read(bundles, SHOP, CONTENT) is None
    assert read(bundles, OTHER, CONTENT) == drawn("other")
    assert read(stranger, SHOP, CONTENT) == drawn("stranger")

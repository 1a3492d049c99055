"""A cluster besides the home cluster: what is wrong with it ends its own turn alone. Threads are real."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.stories.ship import until
from workers.health import BUILT_IN
from workers.observer.other import Other


def test_what_nobody_foresaw_of_a_secret_is_told_and_its_cluster_asked_again_until_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    none = cast("Any", None)
    odd = cast("Any", SimpleNamespace(title="odd", secret="hunter2"))
    other = Other(odd, (), "home", none, lambda: BUILT_IN, lambda: None)
    (thread,) = (one for one in threading.enumerate() if one.name == "cluster odd")
    said = "cluster odd is not observed: please report this (AttributeError)"
    until("it to be told", lambda: said in caplog.text or not thread.is_alive())
    assert thread.is_alive()
    other.end()
    thread.join(60)
    assert not thread.is_alive()
    assert "hunter2" not in caplog.text

"""Which of what hooks have left goes with their Application, and which never does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mooring.keys import ObjectKey
from mooring.names import HOOK_OF, OPERATION, SYNC_OPTIONS
from tests.workers.objects import APP, APPLYSET, HERE, key, managed, ours
from workers.cluster.live import Live
from workers.health import HOOK_FINALIZER
from workers.hooks.left import Left, why_it_stays

MIGRATE = key("migrate", "Job", "batch")


def hook(of: ObjectKey = MIGRATE, **more: Any) -> Live:
    labels = {OPERATION: "of long ago", HOOK_OF: APPLYSET}
    return ours(of, **{"labels": labels, "fields": (managed(OPERATION),), **more})


def stays(live: Live, options: Sequence[str] = (), *, forbidden: str = "") -> str:
    return why_it_stays(live, APP, HERE, options, lambda _: forbidden)


def test_a_hook_of_any_operation_goes() -> None:
    assert not stays(hook())
    assert not stays(hook(finalizers=(HOOK_FINALIZER,)))


@pytest.mark.parametrize(
    ("annotations", "options"),
    [
        ({SYNC_OPTIONS: "Delete=false"}, ()),
        ({"helm.sh/resource-policy": "keep"}, ()),
        ({}, ("Delete=false",)),
    ],
)
def test_what_says_that_it_stays_stays(annotations: dict[str, str], options: Sequence[str]) -> None:
    assert "keeps it" in stays(hook(annotations=annotations), options)


def test_a_definition_stays_for_all_objects_of_its_kind_would_go_with_it() -> None:
    boats = key("boats.example.org", "CustomResourceDefinition", "apiextensions.k8s.io")
    assert "all objects of its kind" in stays(hook(boats))


def test_what_the_project_does_not_permit_is_not_touched() -> None:
    assert stays(hook(), forbidden="project shop does not permit batch/Job") == (
        "project shop does not permit batch/Job"
    )


def test_the_installations_own_secret_is_no_hook_whatever_it_says() -> None:
    own = key("mooring-installation", "Secret", namespace=APP.namespace)
    assert stays(hook(own))


def test_those_are_held_whose_end_nobody_has_seen() -> None:
    runs, ended = hook(finalizers=("example.org/own", HOOK_FINALIZER)), hook(finalizers=("example.org/own",))
    assert Left((runs, ended)).held == (runs,)

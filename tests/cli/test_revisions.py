"""Which revision is meant of which source, and which source a flag changes."""

from __future__ import annotations

import copy
from typing import Any

import click
import pytest

from cli.app.flags import applied
from cli.app.revisions import chosen
from cli.app.set import set_
from mooring.errors import Refused
from mooring.model.application import Application
from tests.mooring.model.manifests import SHOP

TWO = [{"repoURL": "https://a/web", "path": "."}, {"repoURL": "https://a/db", "path": "."}]


def app(*sources: dict[str, Any]) -> Application:
    raw = copy.deepcopy(SHOP)
    if sources:
        raw["spec"]["sources"] = list(sources)
    return Application.parse(raw)


def test_a_revision_is_of_the_one_source_or_of_the_one_that_is_named() -> None:
    assert chosen(app(), "v1", (), ()) == ("v1",)
    assert chosen(app(), "", ("v1",), (1,)) == ("v1",)
    assert chosen(app(*TWO), "", (), ()) == ("", "")
    assert chosen(app(*TWO), "", ("v1",), (2,)) == ("", "v1")
    assert chosen(app(*TWO), "", ("v2", "v1"), (2, 1)) == ("v1", "v2")


def test_a_revision_whose_source_is_not_clear_is_refused() -> None:
    with pytest.raises(Refused, match="has 2 sources: give --revisions"):
        chosen(app(*TWO), "v1", (), ())
    with pytest.raises(Refused, match="has no source 3"):
        chosen(app(*TWO), "", ("v1",), (3,))
    with pytest.raises(click.UsageError, match="one --source-positions with each"):
        chosen(app(*TWO), "", ("v1", "v2"), (1,))
    with pytest.raises(click.UsageError, match="either"):
        chosen(app(*TWO), "v1", ("v1",), (1,))


def changed(**flags: Any) -> Any:
    nothing = {option.name: () if option.multiple else None for option in set_.params if option.name}
    given = {**nothing, **flags}
    return applied({"project": "default", "destination": {}, "sources": copy.deepcopy(TWO)}, given)["sources"]


def test_flags_change_the_source_that_is_named_and_no_other() -> None:
    assert changed(revision="v2", source_position=2) == [TWO[0], {**TWO[1], "targetRevision": "v2"}]
    assert changed(revision_history_limit=3) == TWO
    with pytest.raises(click.UsageError, match="--source-position"):
        changed(revision="v2")
    with pytest.raises(Refused, match="no source 3"):
        changed(revision="v2", source_position=3)

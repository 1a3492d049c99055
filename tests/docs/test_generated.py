"""Pages that are made from the code are as the code is."""

from __future__ import annotations

import re

import pytest

from docs.generate import FILLED, blocks, filled, settings_page
from mooring.model import support
from mooring.model.part import Part
from mooring.model.project import AppProjectSpec
from mooring.model.spec import (
    ApplicationSpec,
    Automated,
    Backoff,
    Destination,
    Directory,
    Operation,
    Retry,
    Source,
    SyncOperation,
    SyncPolicy,
)
from mooring.model.sync_options import _KNOWN
from tests.docs.pages import read

_AGAIN = "run `python -m docs.generate`"


def test_the_settings_are_those_of_the_code() -> None:
    assert read("docs/settings.md") == settings_page(), _AGAIN


def test_the_tables_of_what_is_not_supported_and_the_rules_of_redis_are_those_of_the_code() -> None:
    texts = {file.name: file.read_text(encoding="utf-8") for file in FILLED}
    assert {name for name, text in texts.items() if filled(text) != text} == set(), _AGAIN
    assert all(any(f" generated: {name}" in text for text in texts.values()) for name in blocks())


@pytest.mark.parametrize(
    "part",
    [
        ApplicationSpec,
        Source,
        Directory,
        Destination,
        SyncPolicy,
        Automated,
        Retry,
        Backoff,
        Operation,
        SyncOperation,
        AppProjectSpec,
    ],
)
def test_every_field_is_said_to_be_obeyed_or_not(part: type[Part]) -> None:
    named = _named(read("docs/argocd-compat.md"))
    fields = {field.alias or name for name, field in part.model_fields.items()}
    assert not {field for field in fields if field not in named}


def test_every_sync_option_is_said_to_be_obeyed_or_not() -> None:
    assert _KNOWN.keys() <= _named(read("docs/argocd-compat.md"))


def test_every_annotation_that_blocks_or_warns_is_listed() -> None:
    judged = {name for name, verdict in support._ANNOTATIONS.items() if verdict}
    assert judged <= _named(read("docs/argocd-compat.md"))


def _named(page: str) -> set[str]:
    """Every word in `code` of the page: of `sync.prune`, both."""
    return {
        word for piece in re.findall(r"`([^`\n]+)`", page) for word in re.findall(r"[A-Za-z][\w-]*", piece)
    }

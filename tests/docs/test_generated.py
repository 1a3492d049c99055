"""Pages that are made from the code are as the code is."""

from __future__ import annotations

from docs.generate import FILLED, blocks, filled, settings_page
from tests.docs.pages import read

_AGAIN = "run `python -m docs.generate`"


def test_the_settings_are_those_of_the_code() -> None:
    assert read("docs/settings.md") == settings_page(), _AGAIN


def test_the_tables_of_what_is_not_supported_and_the_rules_of_redis_are_those_of_the_code() -> None:
    texts = {file.name: file.read_text(encoding="utf-8") for file in FILLED}
    assert {name for name, text in texts.items() if filled(text) != text} == set(), _AGAIN
    assert all(any(f" generated: {name}" in text for text in texts.values()) for name in blocks())

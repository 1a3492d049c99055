"""Lines that machines and people can read, whoever wrote what is in them."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mooring import logs
from mooring.errors import Refused

log = logging.getLogger("mooring.story")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def written(format: str) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(format, "deploy", stream)
    return stream


def line(stream: io.StringIO) -> dict[str, Any]:
    (text,) = stream.getvalue().splitlines()
    return dict(json.loads(text))


def test_a_line_says_what_it_is_about_and_the_next_block_begins_anew() -> None:
    stream = written("json")
    with logs.about(app="mooring_shop", deliveries=["1-0", "2-0"]):
        logs.at("c0ffee")
        log.warning("sync of %s", "shop")
    with logs.about(app="mooring_blog"):
        log.info("another")

    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("timestamp") < second.pop("timestamp")
    assert first == {
        "level": "warning",
        "event": "sync of shop",
        "app": "mooring_shop",
        "delivery": "1-0,2-0",
        "commit": "c0ffee",
        "logger": "mooring.story",
        "process": "deploy",
    }
    assert "delivery" not in second and "commit" not in second


def test_of_very_many_deliveries_the_first_are_named() -> None:
    stream = written("json")
    with logs.about(deliveries=[f"{n}-0" for n in range(300)]):
        log.info("a burst")
    assert line(stream)["delivery"].endswith("8-0,9-0…")


@pytest.mark.parametrize("format", ["json", "human"])
def test_what_strangers_wrote_is_one_line_that_no_terminal_obeys(format: str) -> None:
    stream = written(format)
    with logs.about(app="a\x1b[2Jb"):
        log.info("file %s", "x\n2026-01-01 ERROR all is lost\u202e")
    (text,) = stream.getvalue().splitlines()
    assert text.isprintable()
    assert r"\x1b" in text and r"\u202e" in text


@pytest.mark.parametrize("format", ["json", "human"])
def test_no_password_of_a_url_and_no_value_of_a_variable_is_shown(format: str) -> None:
    stream = written(format)
    token = "hunter2"
    try:
        raise ValueError("cannot reach https://me:" + token + "@git.example.com/x")
    except ValueError:
        log.exception("redis://:%s@127.0.0.1/0 went away", token)
    shown = stream.getvalue()
    assert "hunter2" not in shown
    assert "redis://***@127.0.0.1/0" in shown and "https://***@git.example.com/x" in shown
    assert "test_logs.py" in shown, "where it was raised is shown"


def test_a_line_for_people_has_time_level_words_and_what_it_is_about() -> None:
    stream = written("human")
    with logs.about(app="mooring_shop"):
        log.warning("trying again")
    (text,) = stream.getvalue().splitlines()
    assert text.endswith("Z WARNING trying again app=mooring_shop")


def test_without_a_terminal_lines_are_json() -> None:
    stream = written("auto")
    threading.Thread(target=log.info, args=("from a thread",)).start()
    logging.getLogger("celery.worker").info("ready")
    log.debug("nobody wants to know")
    assert [json.loads(text)["event"] for text in stream.getvalue().splitlines()][-1] == "ready"
    assert "nobody" not in stream.getvalue()


def test_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(Refused, match="MOORING_LOG_FORMAT must be one of auto, json, human"):
        logs.configure("xml", "web")


def test_who_logs_an_error_outside_says_what_it_came_out_of() -> None:
    stream = written("json")
    try:
        with logs.about(app="home_shop", deliveries=["1-0"]):
            logs.at("c1")
            raise Refused("no")
    except Refused as error:
        with logs.of(error):
            log.warning("turn: %s", error)
    told = line(stream)
    assert (told["app"], told["delivery"], told["commit"]) == ("home_shop", "1-0", "c1")
